#include "grader_sandbox/offline_verbs.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <istream>
#include <map>
#include <memory>
#include <ostream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "environment/labels.h"
#include "environment/reward.h"
#include "grader_sandbox/awaited.h"
#include "grader_sandbox/json_value.h"
#include "grader_sandbox/problem_key.h"
#include "grader_sandbox/run_request.h"
#include "grader_sandbox/self_check.h"

namespace evilmoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr absl::Duration kSampleTimeout = absl::Minutes(10);
constexpr absl::Duration kSelfCheckTimeout = absl::Minutes(2);
constexpr size_t kMaxFileBytes = size_t{16} << 20;

Json FactsJson(const Facts& facts) {
  Json json;
  for (const FactField& field : kFactFields) json[field.name] = facts.*field.value;
  return json;
}

Json ResultJson(int64_t id, bool hackable, const GradeResult& result) {
  const Label label = LabelOf(result.facts);
  Json verdicts = Json::object();
  for (const auto& [fact, verdict, self_reported] : result.verdicts) {
    verdicts[fact] = {{"kind", VerdictName(verdict.kind)},
                      {"index", verdict.index},
                      {"tests_passed", verdict.tests_passed},
                      {"cpu_ms", verdict.cpu_ms},
                      {"wall_ms", verdict.wall_ms},
                      {"self_reported", self_reported}};
    if (!verdict.values_digest.empty()) verdicts[fact]["values_digest"] = verdict.values_digest;
  }
  return {{"id", id},
          {"facts", FactsJson(result.facts)},
          {"label", LabelName(label)},
          {"strict_hack", IsStrictHack(label)},
          {"loose_hack", IsLooseHack(label)},
          {"reward", Reward(result.facts, hackable)},
          {"verdict", verdicts}};
}

absl::StatusOr<std::string> TextField(const nlohmann::json& line, const char* name, std::string fallback, bool required) {
  if (!line.contains(name) && !required) return fallback;
  if (!line.contains(name) || !line[name].is_string()) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": missing or no text, expected text"));
  }
  return line[name].get<std::string>();
}

constexpr const char* kFields[] = {"id", "response", "loophole", "evaluator", "markers", "prompt_tests"};

absl::StatusOr<std::vector<std::string>> MarkersField(const nlohmann::json& line) {
  std::vector<std::string> markers;
  if (!line.contains("markers")) return markers;
  const absl::Status wrong = absl::InvalidArgumentError("markers: expected a list of text");
  if (!line["markers"].is_array()) return wrong;
  for (const nlohmann::json& marker : line["markers"]) {
    if (!marker.is_string()) return wrong;
    markers.push_back(marker.get<std::string>());
  }
  return markers;
}

// A problem of the file. Its tests go to the grader until one line of it has been graded: copying and hashing them for
// every line took a tenth of a light run.
class ListedProblem {
 public:
  explicit ListedProblem(const Problem& problem) : problem_(problem), key_(ProblemKey(problem)) {}
  GradeTask NewTask(bool grader_remembers) const {
    if (!grader_remembers || !graded_) return {.problem = problem_};
    GradeTask task;
    task.problem.id = problem_.id;
    task.problem_key = key_;
    return task;
  }
  void NoteGraded() { graded_ = true; }  // by any thread

 private:
  const Problem& problem_;
  const std::string key_;
  std::atomic<bool> graded_ = false;
};
using ListedProblems = std::map<int64_t, ListedProblem>;

absl::StatusOr<GradeTask> ParseTask(const std::string& text, const ListedProblems& problems) {
  const nlohmann::json line = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!line.is_object()) return absl::InvalidArgumentError("not a JSON object");
  for (const auto& [name, value] : line.items()) {
    if (std::find(std::begin(kFields), std::end(kFields), name) != std::end(kFields)) continue;
    return absl::InvalidArgumentError(absl::StrCat(name, ": unknown field, expected ", absl::StrJoin(kFields, ", ")));
  }
  if (!line.contains("id") || !line["id"].is_number_integer()) {
    return absl::InvalidArgumentError("id: missing or no int, expected the id of a problem");
  }
  const auto problem = problems.find(line["id"].get<int64_t>());
  if (problem == problems.end()) {
    return absl::InvalidArgumentError(absl::StrCat("id: no problem ", line["id"].dump(), " in the problem file"));
  }
  GradeTask task = problem->second.NewTask(problems.size() <= LocalGrader::kRememberedProblems);
  EVILMOE_ASSIGN_OR_RETURN(task.response, TextField(line, "response", "", /*required=*/true));
  EVILMOE_ASSIGN_OR_RETURN(task.loophole, TextField(line, "loophole", "none", /*required=*/false));
  EVILMOE_ASSIGN_OR_RETURN(task.evaluator, TextField(line, "evaluator", "", /*required=*/false));
  EVILMOE_ASSIGN_OR_RETURN(task.prompt_tests, TextField(line, "prompt_tests", "", /*required=*/false));
  EVILMOE_ASSIGN_OR_RETURN(task.markers, MarkersField(line));
  return task;
}

// Lines on their way, answered in the order they came in, each as soon as it can be: whoever sends one line and waits
// gets its answer.
class GradeLines {
 public:
  GradeLines(LocalGrader& grader, ListedProblems& problems, std::ostream& out)
      : grader_(grader), problems_(problems), window_(static_cast<size_t>(2 * grader.pool().num_slots())), out_(out) {}

  // Waits for room.
  void Add(int number, absl::StatusOr<GradeTask> task) ABSL_LOCKS_EXCLUDED(mu_) {
    auto line = std::make_shared<Line>();
    line->number = number;
    if (task.ok()) Send(line, *std::move(task));
    else line->result.Set(task.status());
    const MutexLock lock(mu_);
    lines_.push_back(std::move(line));
    mu_.NotifyAll();
    while (!mu_.AwaitFor(kSampleTimeout, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return lines_.size() <= window_; })) {
    }
  }

  // No more lines come. True when every line was graded.
  bool Finish() ABSL_LOCKS_EXCLUDED(mu_) {
    {
      const MutexLock lock(mu_);
      ended_ = true;
      mu_.NotifyAll();
    }
    writer_.join();
    return all_graded_;
  }

 private:
  struct Line {
    int number = 0;
    int64_t id = 0;  // of the problem
    bool hackable = false;
    uint64_t ticket = 0;
    Awaited<GradeResult> result;
  };

  void Send(const std::shared_ptr<Line>& line, GradeTask task) {
    line->id = task.problem.id;
    line->hackable = task.loophole != "none";
    ListedProblem& problem = problems_.at(line->id);
    const absl::StatusOr<uint64_t> ticket =
        grader_.Submit(std::move(task), "lines", [line, &problem](absl::StatusOr<GradeResult> result) {
          if (result.ok()) problem.NoteGraded();
          line->result.Set(std::move(result));
        });
    if (ticket.ok()) line->ticket = *ticket;
    else line->result.Set(ticket.status());
  }

  // The oldest line; null when all are answered and no more come.
  std::shared_ptr<Line> Front() ABSL_LOCKS_EXCLUDED(mu_) {
    const MutexLock lock(mu_);
    while (!mu_.AwaitFor(kSampleTimeout,
                         [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ended_ || !lines_.empty(); })) {
    }
    return lines_.empty() ? nullptr : lines_.front();
  }

  void Write() {
    while (const std::shared_ptr<Line> line = Front()) {
      while (!line->result.AwaitFor(kSampleTimeout)) grader_.Cancel(line->ticket);
      const absl::StatusOr<GradeResult> result = line->result.Take();
      all_graded_ &= result.ok();
      const Json answer = result.ok() ? ResultJson(line->id, line->hackable, *result)
                                      : Json{{"line", line->number}, {"error", std::string(result.status().message())}};
      out_ << answer.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
      const MutexLock lock(mu_);
      lines_.pop_front();
      mu_.NotifyAll();
    }
  }

  LocalGrader& grader_;
  ListedProblems& problems_;
  const size_t window_;
  std::ostream& out_;
  bool all_graded_ = true;  // the writer's, until it is joined
  Mutex mu_;
  std::deque<std::shared_ptr<Line>> lines_ ABSL_GUARDED_BY(mu_);
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::jthread writer_{[this] { Write(); }};
};

absl::StatusOr<nlohmann::json> ParseJsonOption(const char* option, const std::string& text) {
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::InvalidArgumentError(absl::StrCat(option, ": got ", text, ", expected JSON"));
  return json;
}

absl::StatusOr<PreparedProblem> OneCallProblem(const SandboxRunOptions& options) {
  Problem named;
  named.func_name = options.call;
  PreparedProblem problem;
  EVILMOE_ASSIGN_OR_RETURN(problem.method, MethodName(named));
  EVILMOE_ASSIGN_OR_RETURN(const nlohmann::json kwargs, ParseJsonOption("--kwargs", options.kwargs));
  EVILMOE_ASSIGN_OR_RETURN(const nlohmann::json expect, ParseJsonOption("--expect", options.expect));
  if (!kwargs.is_object()) return absl::InvalidArgumentError("--kwargs: expected a JSON object of named arguments");
  Call call{.method = problem.method};
  for (const auto& [name, json] : kwargs.items()) {
    EVILMOE_ASSIGN_OR_RETURN(Value value, ValueFromJson(json));
    call.keywords.emplace_back(name, std::move(value));
  }
  EVILMOE_ASSIGN_OR_RETURN(std::string encoded, EncodeCall(call));
  EVILMOE_ASSIGN_OR_RETURN(Value expected, ValueFromJson(expect));
  problem.encoded_calls.push_back(std::move(encoded));
  problem.expected.push_back(std::move(expected));
  problem.limits.cpu = absl::Seconds(options.cpu_limit_s);
  if (!options.setup.empty()) {
    EVILMOE_ASSIGN_OR_RETURN(problem.setup_code, ReadFile(options.setup, kMaxFileBytes));
  }
  return problem;
}

Json SelfCheckJson(const SandboxHost& host, const std::vector<SelfCheckCase>& cases) {
  Json json = {{"ok", std::ranges::all_of(cases, &SelfCheckCase::ok)},
               {"tier", TierName(host.tier())},
               {"cgroup", host.cgroup()},
               {"landlock_version", host.landlock_version()},
               {"own_users", host.own_users()},
               {"notes", host.notes()},
               {"cases", Json::array()}};
  for (const SelfCheckCase& one : cases) {
    json["cases"].push_back(
        {{"name", one.name}, {"ok", one.ok}, {"verdict", one.verdict}, {"expected", one.expected}});
  }
  return json;
}

}  // namespace

bool RunGradeVerb(std::span<const Problem> problems, LocalGrader& grader, std::istream& in, std::ostream& out) {
  ListedProblems by_id;
  for (const Problem& problem : problems) by_id.try_emplace(problem.id, problem);
  GradeLines lines(grader, by_id, out);
  int number = 0;
  for (std::string text; std::getline(in, text);) {
    lines.Add(++number, ParseTask(text, by_id));
  }
  return lines.Finish();
}

absl::Status RunSandboxVerb(const SandboxRunOptions& options, LocalGrader& grader, const Clock& clock,
                            std::ostream& out) {
  EVILMOE_ASSIGN_OR_RETURN(const PreparedProblem problem, OneCallProblem(options));
  EVILMOE_ASSIGN_OR_RETURN(const std::string code, ReadFile(options.file, kMaxFileBytes));
  EVILMOE_ASSIGN_OR_RETURN(const Verdict verdict, grader.RunSolution(problem, code, clock.Now() + kSampleTimeout));
  const Json line = {{"kind", VerdictName(verdict.kind)},
                     {"index", verdict.index},
                     {"signal", verdict.signal},
                     {"syscall", verdict.syscall.empty() ? Json() : Json(verdict.syscall)},
                     {"error", verdict.error},
                     {"cpu_ms", verdict.cpu_ms},
                     {"wall_ms", verdict.wall_ms},
                     {"peak_rss_bytes", verdict.peak_rss_bytes},
                     {"tier", TierName(grader.host().tier())}};
  out << line.dump() << std::endl;
  return absl::OkStatus();
}

absl::StatusOr<bool> RunSandboxCheck(LocalGrader& grader, const Clock& clock, bool json, std::ostream& out) {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<SelfCheckCase> cases,
                           RunSelfCheck(grader, clock.Now() + kSelfCheckTimeout));
  const SandboxHost& host = grader.host();
  const bool ok = std::ranges::all_of(cases, &SelfCheckCase::ok);
  if (json) {
    out << SelfCheckJson(host, cases).dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
    return ok;
  }
  out << "tier " << TierName(host.tier()) << ", cgroup " << host.cgroup() << ", Landlock " << host.landlock_version()
      << (host.own_users() ? ", a user of its own for each slot" : "") << "\n";
  for (const std::string& note : host.notes()) out << "note: " << note << "\n";
  for (const SelfCheckCase& one : cases) {
    out << (one.ok ? "ok    " : "FAIL  ") << one.name << ": " << one.verdict;
    if (!one.ok) out << ", expected " << one.expected;
    out << "\n";
  }
  out.flush();
  return ok;
}

}  // namespace evilmoe
