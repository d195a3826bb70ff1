#include "services/ctl/doctor_checks.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/shown_text.h"
#include "services/ctl/paint.h"
#include "services/ctl/process.h"

namespace evilmoe {
namespace {

using State = DoctorCheck::State;

std::string TextOf(const nlohmann::json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? ShownLine(it->get<std::string>()) : "";
}

const nlohmann::json& ListOf(const nlohmann::json& object, const char* key) {
  static const nlohmann::json none = nlohmann::json::array();
  const auto it = object.find(key);
  return it != object.end() && it->is_array() ? *it : none;
}

bool IsTrue(const nlohmann::json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && *it == true;
}

DoctorCheck Unasked(const char* name, const absl::Status& status, const char* todo) {
  return {name, State::kFailed, ShownLine(std::string(status.message())), todo};
}

}  // namespace

const char* DoctorStateName(State state) {
  return state == State::kOk ? "ok" : state == State::kWarning ? "warn" : "fail";
}

DoctorCheck CheckSiblings() {
  std::string missing;
  for (const char* name : {"evilmoe-coordinator", "evilmoe-trainer", "evilmoe-rollout", "evilmoe-grader",
                           "evilmoe-zygote", "evilmoe-dataset"}) {
    if (!SiblingBinary(name).ok()) absl::StrAppend(&missing, missing.empty() ? "" : ", ", name);
  }
  if (missing.empty()) return {"binaries", State::kOk, "all of them are beside evilmoe-ctl", ""};
  return {"binaries", State::kFailed, absl::StrCat("missing beside evilmoe-ctl: ", missing),
          "build them: cmake --build --preset release"};
}

std::vector<DoctorCheck> CheckDevices(const absl::StatusOr<nlohmann::json>& report) {
  if (!report.ok()) return {Unasked("devices", report.status(), "see that evilmoe-trainer starts by itself")};
  const nlohmann::json& gpus = ListOf(*report, "gpus");
  const bool cuda_build = IsTrue(*report, "cuda_build");
  std::string what = absl::StrCat("LibTorch ", TextOf(*report, "torch"), ", ");
  if (gpus.empty()) {
    what += cuda_build ? "built with CUDA, no GPU found" : "CPU alone";
  } else {
    for (const nlohmann::json& gpu : gpus) {
      const double gib = gpu.is_object() && gpu.value("memory_bytes", nlohmann::json()).is_number()
                             ? gpu["memory_bytes"].get<double>() / (1 << 30)
                             : 0;
      absl::StrAppend(&what, &gpu == &gpus.front() ? "" : "; ", TextOf(gpu, "name"), absl::StrFormat(" %.0f GiB", gib));
    }
  }
  std::vector<DoctorCheck> checks = {{"devices", State::kOk, what, ""}};
  if (cuda_build && gpus.empty()) {
    checks[0].state = State::kWarning;
    checks[0].todo = "look at the driver: nvidia-smi; runs go to the CPU meanwhile";
  }
  const std::string nccl = TextOf(*report, "nccl");
  if (!nccl.empty()) {
    checks.push_back({"nccl", State::kOk, absl::StrCat("version ", nccl), ""});
  } else if (gpus.size() > 1) {
    checks.push_back({"nccl", State::kFailed, "none, with several GPUs",
                      "build with -DEVILMOE_CUDA=ON: ranks on GPUs need it"});
  } else {
    checks.push_back({"nccl", State::kOk, "none; ranks on CPUs use Gloo", ""});
  }
  return checks;
}

DoctorCheck CheckSandboxReport(const absl::StatusOr<nlohmann::json>& report) {
  if (!report.ok()) return Unasked("sandbox", report.status(), "docs/sandbox.md says what each tier needs");
  for (const nlohmann::json& one : ListOf(*report, "cases")) {
    if (!one.is_object() || IsTrue(one, "ok")) continue;
    return {"sandbox", State::kFailed,
            absl::StrCat("tier ", TextOf(*report, "tier"), ", but ", TextOf(one, "name"), " got ",
                         TextOf(one, "verdict"), ", expected ", TextOf(one, "expected")),
            "grade nothing here: a solution could do it; docs/sandbox.md"};
  }
  DoctorCheck check = {"sandbox", State::kOk,
                       absl::StrCat("tier ", TextOf(*report, "tier"), ", cgroup ", TextOf(*report, "cgroup"), ", ",
                                    ListOf(*report, "cases").size(), " attacks held off"),
                       ""};
  if (ListOf(*report, "cases").empty()) return {"sandbox", State::kFailed, "the self-check said nothing", "report this"};
  if (TextOf(*report, "tier") != "A") {
    check.state = State::kWarning;
    const nlohmann::json& notes = ListOf(*report, "notes");
    const bool has_note = !notes.empty() && notes[0].is_string();
    check.todo = has_note ? absl::StrCat("no better because ", ShownLine(notes[0].get<std::string>()), "; docs/sandbox.md")
                          : "docs/sandbox.md says what tier A needs";
  }
  return check;
}

DoctorCheck CheckVerification(const absl::StatusOr<nlohmann::json>& report) {
  constexpr char kName[] = "logp agreement";
  if (!report.ok()) return Unasked(kName, report.status(), "`evilmoe-ctl verify` by hand tells more");
  std::string failed;
  std::optional<double> apart;  // sampler and trainer, at most
  size_t count = 0;
  for (const nlohmann::json& one : ListOf(*report, "checks")) {
    if (!one.is_object()) continue;
    ++count;
    const std::string name = TextOf(one, "name");
    if (!IsTrue(one, "ok")) absl::StrAppend(&failed, failed.empty() ? "" : "; ", name, " ", TextOf(one, "problem"));
    if (name.find("sampler") == std::string::npos || !one.contains("figure") || !one["figure"].is_number()) continue;
    apart = std::max(apart.value_or(0), one["figure"].get<double>());
  }
  if (count == 0) return {kName, State::kFailed, "verify made no check", "`evilmoe-ctl verify` by hand tells more"};
  if (!failed.empty()) return {kName, State::kFailed, failed, "`evilmoe-ctl verify` by hand tells more"};
  return {kName, State::kOk,
          absl::StrCat("all ", count, " checks of verify hold",
                       apart ? absl::StrFormat("; sampler and trainer differ by %.2g at most", *apart) : ""),
          ""};
}

std::string DoctorText(const DoctorCheck& check, bool color) {
  const Tone tone = check.state == State::kOk        ? Tone::kGood
                    : check.state == State::kWarning ? Tone::kWarning
                                                     : Tone::kBad;
  const std::string state = DoctorStateName(check.state);
  std::string text = absl::StrCat(Painted(state, tone, color), std::string(6 - state.size(), ' '),
                                  absl::StrFormat("%-15s", check.name), "  ", check.what, "\n");
  if (!check.todo.empty()) absl::StrAppend(&text, std::string(23, ' '), "-> ", check.todo, "\n");
  return text;
}

nlohmann::ordered_json DoctorJson(const std::vector<DoctorCheck>& checks) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const DoctorCheck& check : checks) {
    list.push_back(
        {{"name", check.name}, {"state", DoctorStateName(check.state)}, {"what", check.what}, {"todo", check.todo}});
  }
  const bool ok = std::none_of(checks.begin(), checks.end(),
                               [](const DoctorCheck& check) { return check.state == State::kFailed; });
  return {{"ok", ok}, {"checks", std::move(list)}};
}

}  // namespace evilmoe
