#include "services/page/page_api.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/yaml_tree.h"
#include "services/coordinator/run_files.h"
#include "services/page/log_view.h"
#include "services/page/run_text.h"
#include "services/page/run_view_json.h"

namespace evilmoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxIdBytes = 64;
constexpr int64_t kMaxRolloutsAtATime = 500;
constexpr int64_t kMaxEventsAtATime = 1000;
constexpr int64_t kMaxNumber = int64_t{1} << 53;  // that a script holds exactly
constexpr size_t kMaxTokenizerBytes = size_t{64} << 20;

absl::Status NoSuchRoute() { return absl::NotFoundError("address: the page has nothing there; see services/page/README.md"); }

std::optional<PageAction> ActionOf(const std::string& name) {
  static const std::map<std::string, PageAction> kActions = {{"cancel", PageAction::kCancel},
                                                             {"pause", PageAction::kPause},
                                                             {"resume", PageAction::kResume},
                                                             {"retry", PageAction::kRetry}};
  const auto it = kActions.find(name);
  return it == kActions.end() ? std::nullopt : std::optional(it->second);
}

// model.path of a config; "" = none.
std::string ModelOf(const std::string& config_yaml) {
  std::vector<YamlProblem> problems;
  const YamlNode root = ParseYamlTree(config_yaml, problems);
  const YamlMember* model = root.Find("model");
  const YamlMember* path = model == nullptr ? nullptr : model->value.Find("path");
  return path != nullptr && path->value.kind == YamlNode::Kind::kScalar ? path->value.text : "";
}

absl::StatusOr<RolloutFilter> FilterOf(const PageRequest& request) {
  RolloutFilter filter{.kind = request.Query("kind"),
                       .label = request.Query("label"),
                       .text = request.Query("q"),
                       .sort = request.Query("sort")};
  EVILMOE_ASSIGN_OR_RETURN(filter.w_low, NumberOf(request, "w_low", 0, 1));
  EVILMOE_ASSIGN_OR_RETURN(filter.w_high, NumberOf(request, "w_high", 0, 1));
  EVILMOE_RETURN_IF_ERROR(CheckFilter(filter));
  return filter;
}

// Of one event in a list: a step's numbers are in /metrics.
Json BriefPayload(const RunEventView& event) {
  if (event.kind != "step" || !event.payload.is_object()) return event.payload;
  Json brief = Json::object();
  for (const char* key : {"step", "reward_mean", "hack_rate_strict", "solve_rate", "w_hack", "w_clean", "bad_step"}) {
    if (const auto it = event.payload.find(key); it != event.payload.end()) brief[key] = *it;
  }
  return brief;
}

}  // namespace

PageReply PageApi::Answer(const PageRequest& request) {
  const absl::StatusOr<PageReply> reply = Route(request);
  return reply.ok() ? *reply : ErrorReply(reply.status());
}

absl::StatusOr<PageReply> PageApi::Route(const PageRequest& request) {
  const std::vector<std::string>& path = request.path;
  if (path.size() < 3) return NoSuchRoute();
  const bool is_action = path.size() == 5 && path[2] == "runs" && ActionOf(path[4]).has_value();
  if (is_action) {
    EVILMOE_ASSIGN_OR_RETURN(const CallPermit permit, guard_.AdmitActor(request));
    return Act(path[3], path[4]);
  }
  if (request.method != "GET") return absl::UnimplementedError("method: data is read with GET");
  EVILMOE_ASSIGN_OR_RETURN(const CallPermit permit, guard_.AdmitReader(request));
  if (path.size() == 3 && path[2] == "session") return Session(request);
  if (path[2] != "runs") return NoSuchRoute();
  return path.size() == 3 ? Runs() : OfRun(request);
}

absl::StatusOr<PageReply> PageApi::OfRun(const PageRequest& request) {
  const std::vector<std::string>& path = request.path;
  if (path[3].empty() || path[3].size() > kMaxIdBytes) {
    return absl::InvalidArgumentError(absl::StrCat("run: expected an id of at most ", kMaxIdBytes, " bytes"));
  }
  EVILMOE_ASSIGN_OR_RETURN(const PageRun run, source_.Get(path[3]));
  if (path.size() == 4) return Run(run);
  if (path[4] == "rollouts") return Rollouts(run, request);
  if (path[4] == "logs") return Logs(run, request);
  if (path.size() > 5) return NoSuchRoute();
  if (path[4] == "glance") return JsonReply(GlanceJson(RecordOf(run)));
  if (path[4] == "metrics") return Metrics(run, request);
  if (path[4] == "events") return Events(run, request);
  if (path[4] == "ablation") return Ablation(run, request);
  return NoSuchRoute();
}

absl::StatusOr<PageReply> PageApi::Session(const PageRequest& request) {
  return JsonReply({{"asks_for_token", guard_.has_tokens()}, {"may_act", guard_.MayAct(request)}});
}

absl::StatusOr<PageReply> PageApi::Runs() {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<RunSummary> runs, source_.List());
  Json list = Json::array();
  for (const RunSummary& run : runs) list.push_back(ToJson(run));
  return JsonReply({{"runs", std::move(list)}});
}

absl::StatusOr<PageReply> PageApi::Run(const PageRun& run) {
  Json json = GlanceJson(RecordOf(run));
  json["run"] = ToJson(run.summary);
  json["config"] = run.config_yaml;
  return JsonReply(json);
}

absl::StatusOr<PageReply> PageApi::Metrics(const PageRun& run, const PageRequest& request) {
  EVILMOE_ASSIGN_OR_RETURN(const int64_t after, IntegerOf(request, "after", -1, -1, kMaxNumber));
  RecordedRun record;
  TakeMetrics(ReadRunText(run.summary.directory, "metrics.jsonl", kMaxMetricsBytes), record);
  return JsonReply({{"columns", ColumnsAfter(record.metrics, after)}, {"notes", record.notes}});
}

absl::StatusOr<PageReply> PageApi::Events(const PageRun& run, const PageRequest& request) {
  EVILMOE_ASSIGN_OR_RETURN(const int64_t after, IntegerOf(request, "after", 0, 0, kMaxNumber));
  EVILMOE_ASSIGN_OR_RETURN(const int64_t limit, IntegerOf(request, "limit", 200, 1, kMaxEventsAtATime));
  EVILMOE_ASSIGN_OR_RETURN(const PageEvents page, source_.Events(run.summary.run_id, after, static_cast<int>(limit),
                                                                 absl::ZeroDuration()));
  Json events = Json::array();
  for (const RunEventView& event : page.events) {
    events.push_back({{"seq", event.seq}, {"unix_ms", event.unix_ms}, {"kind", event.kind},
                      {"payload", BriefPayload(event)}});
  }
  return JsonReply({{"events", std::move(events)}, {"last_seq", page.run.last_seq}});
}

absl::StatusOr<PageReply> PageApi::Ablation(const PageRun& run, const PageRequest& request) {
  const absl::StatusOr<std::vector<FileBeneath>> files = ListFilesBeneath(run.summary.directory, "eval", 10'000);
  Json names = Json::array();
  for (const FileBeneath& file : files.ok() ? *files : std::vector<FileBeneath>()) {
    if (file.path.ends_with(".json")) names.push_back(file.path.substr(5));
  }
  const std::string name = request.query.contains("file") ? request.Query("file") : "ablation.json";
  if (!name.ends_with(".json")) return absl::InvalidArgumentError("file: expected the name of a .json file below eval/");
  const absl::StatusOr<std::string> text =
      ReadRunText(run.summary.directory, absl::StrCat("eval/", name), kMaxMetricsBytes);
  if (absl::IsInvalidArgument(text.status())) return text.status();
  RecordedRun record;
  TakeAblation(text, record);
  return JsonReply({{"files", std::move(names)}, {"file", name}, {"ablation", record.ablation}, {"notes", record.notes}});
}

absl::StatusOr<PageReply> PageApi::Rollouts(const PageRun& run, const PageRequest& request) {
  const std::vector<std::string>& path = request.path;
  const std::string& directory = run.summary.directory;
  if (path.size() == 5) {
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<StepFile> files, ListRolloutSteps(directory));
    Json steps = Json::array();
    for (const StepFile& file : files) steps.push_back(file.step);
    return JsonReply({{"steps", std::move(steps)}});
  }
  int64_t step = 0;
  if (!absl::SimpleAtoi(path[5], &step) || step < 0 || path.size() > 7) {
    return absl::InvalidArgumentError("step: expected a number, as in rollouts/12");
  }
  EVILMOE_ASSIGN_OR_RETURN(const std::shared_ptr<const RolloutTable> table, rollouts_.Get(directory, step));
  return path.size() == 7 ? OneRollout(run, *table, path[6]) : RolloutPage(*table, step, request);
}

absl::StatusOr<PageReply> PageApi::RolloutPage(const RolloutTable& table, int64_t step, const PageRequest& request) {
  EVILMOE_ASSIGN_OR_RETURN(const RolloutFilter filter, FilterOf(request));
  EVILMOE_ASSIGN_OR_RETURN(const int64_t offset, IntegerOf(request, "offset", 0, 0, kMaxNumber));
  EVILMOE_ASSIGN_OR_RETURN(const int64_t limit, IntegerOf(request, "limit", 100, 1, kMaxRolloutsAtATime));
  const std::vector<size_t> found = MatchingRows(table, filter);
  std::map<std::string, int64_t> labels;
  for (const RolloutRow& row : table.rows) ++labels[row.label];
  Json rows = Json::array();
  for (size_t i = static_cast<size_t>(offset); i < found.size() && rows.size() < static_cast<size_t>(limit); ++i) {
    rows.push_back(BriefJson(table.rows[found[i]]));
  }
  return JsonReply({{"step", step}, {"total", table.rows.size()}, {"matching", found.size()}, {"offset", offset},
                    {"labels", labels}, {"rows", std::move(rows)}, {"notes", table.notes}});
}

absl::StatusOr<PageReply> PageApi::OneRollout(const PageRun& run, const RolloutTable& table, const std::string& index) {
  int64_t number = -1;
  if (!absl::SimpleAtoi(index, &number)) return absl::InvalidArgumentError("rollout: expected its line's number");
  const auto row = std::ranges::lower_bound(table.rows, number, {}, &RolloutRow::index);
  if (row == table.rows.end() || row->index != number) {
    return absl::NotFoundError(absl::StrCat("rollout: the step has none on line ", number));
  }
  Json json = WholeJson(*row);
  const absl::StatusOr<std::string> prompt = PromptOf(run, *row);
  json["prompt"] = prompt.ok() ? Json(*prompt) : Json();
  if (!prompt.ok()) json["prompt_note"] = std::string(prompt.status().message());
  return JsonReply(json);
}

absl::StatusOr<std::string> PageApi::PromptOf(const PageRun& run, const RolloutRow& row) {
  if (row.prompt_ids.empty()) return absl::NotFoundError("its tokens were not recorded");
  const std::string model = ModelOf(run.config_yaml);
  if (model.empty()) return absl::NotFoundError("the run's config names no model");
  MutexLock lock(mu_);
  if (model_ != model || !tokenizer_.ok()) {
    const absl::StatusOr<std::string> text = ReadRunText(model, "tokenizer.json", kMaxTokenizerBytes);
    // The message of a file that is no tokenizer would quote it.
    tokenizer_ = text.ok() ? Tokenizer::Parse(*text) : text.status();
    model_ = model;
  }
  if (!tokenizer_.ok()) {
    return absl::NotFoundError("the tokenizer of the run's model is not in the coordinator's reach");
  }
  return tokenizer_->Decode(row.prompt_ids);
}

absl::StatusOr<PageReply> PageApi::Logs(const PageRun& run, const PageRequest& request) {
  const std::vector<std::string>& path = request.path;
  if (path.size() == 5) {
    EVILMOE_ASSIGN_OR_RETURN(const Json logs, ListLogs(run.summary.directory));
    return JsonReply(logs);
  }
  std::string name = path[5];
  for (size_t i = 6; i < path.size(); ++i) absl::StrAppend(&name, "/", path[i]);
  EVILMOE_ASSIGN_OR_RETURN(const int64_t offset, IntegerOf(request, "offset", -1, -1, kMaxNumber));
  EVILMOE_ASSIGN_OR_RETURN(const Json log, ReadLog(run.summary.directory, name, offset));
  return JsonReply(log);
}

absl::StatusOr<PageReply> PageApi::Act(const std::string& run_id, const std::string& action) {
  EVILMOE_ASSIGN_OR_RETURN(const RunSummary run, source_.Act(run_id, *ActionOf(action)));
  return JsonReply({{"run", ToJson(run)}});
}

}  // namespace evilmoe
