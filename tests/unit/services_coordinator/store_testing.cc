#include "tests/unit/services_coordinator/store_testing.h"

#include <algorithm>
#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/seed.h"

namespace evilmoe {
namespace {

std::string Shown(const std::string& text) { return absl::StrCat("'", absl::CHexEscape(text), "'"); }
std::string Hash(const std::string& blob) { return absl::StrCat(blob.size(), ":", Sha256Hex(blob).substr(0, 12)); }
std::string Shown(const AdapterName& adapter) {
  return absl::StrCat("(", Shown(adapter.run_id), " ", adapter.step, " ", Shown(adapter.sha256), " ",
                      adapter.size_bytes, ")");
}

void DescribeGroup(const StoredGroup& group, std::string& text) {
  absl::StrAppend(&text, "  group ", group.task.index, " ", group.task.num_samples, " ", Hash(group.task.spec),
                  " losses ", group.num_losses);
  if (group.lease) {
    absl::StrAppend(&text, " lease ", group.lease->batch_id, "/", group.lease->index, " ", group.lease->lease_id, " ",
                    Shown(group.lease->worker_id), " ", Shown(group.lease->adapter));
  }
  if (group.finished) {
    const FinishedGroup& end = group.finished->group;
    absl::StrAppend(&text, " finished ", group.finished->batch_id, "/", group.finished->place, " ", end.index, " ",
                    end.num_samples, " ", Shown(end.lost_reason), " ",
                    end.result == nullptr ? "none" : Hash(*end.result));
  }
  text += '\n';
}

// Makes one list; what it remembers keeps the list possible.
class RandomList {
 public:
  explicit RandomList(uint64_t seed) : random_(seed) {}

  std::vector<StoreChange> Make(int num_changes) {
    AddRun();
    while (static_cast<int>(changes_.size()) < num_changes) Step();
    return std::move(changes_);
  }

 private:
  struct Batch {
    int64_t id;
    std::string run_id;
    int64_t num_groups = 0;
    std::map<int64_t, int64_t> losses;  // of groups that wait
    std::map<int64_t, int64_t> leased;  // index -> losses
    int64_t num_finished = 0;
  };

  int64_t Draw(int64_t end) { return random_.Int(0, end - 1); }
  template <typename Container>
  auto& Pick(Container& container) {
    return *std::next(container.begin(), Draw(static_cast<int64_t>(container.size())));
  }
  std::string Text() {
    const std::vector<std::string> pieces = {
        "a", "0", "\n", "\\", "'", "{\"k\":1}", "é", "ß☃", "😀", "\x1a", std::string(1, '\0'), "\xff", "\xed\xa0\x80"};
    std::string text;
    for (int64_t i = Draw(5); i > 0; --i) text += random_.Choice(pieces);
    return text;
  }
  std::string Blob() {
    std::string blob(static_cast<size_t>(Draw(40) == 0 ? Draw(100000) : Draw(30)), '\0');
    for (char& byte : blob) byte = static_cast<char>(Draw(256));
    return blob;
  }

  void AddRun() {
    const std::string id = absl::StrCat("R", runs_.size(), Text());
    RunRecord run = TestRun(id, Draw(3));
    run.name = Text();
    run.error = Text();
    run.config_yaml = Text();
    runs_.push_back(run);
    changes_.push_back(PutRun{run});
  }
  void ChangeRun() {
    RunRecord& run = Pick(runs_);
    run.phase = static_cast<RunPhase>(1 + Draw(7));
    run.steps_done = Draw(1000);
    run.error = Text();
    run.model_fingerprint = Text();
    run.priority = static_cast<int>(Draw(9)) - 4;
    changes_.push_back(PutRun{run});
  }
  void PutSomeJob() {
    if (jobs_.empty() || Draw(3) == 0) {
      const auto order = static_cast<int64_t>(jobs_.size()) + 1;
      jobs_.push_back({.order = order, .job_id = absl::StrCat("J", order, Text()), .run_id = Pick(runs_).run_id});
    }
    JobRecord& job = Pick(jobs_);
    job.phase = static_cast<RunPhase>(1 + Draw(7));
    job.type = static_cast<JobType>(1 + Draw(2));
    job.params_json = Text();
    job.trainer_id = Text();
    job.trainer_name = Text();
    job.incarnation = Draw(5);
    job.num_lost_trainers = static_cast<int>(Draw(4));
    changes_.push_back(PutJob{job});
  }
  void PutSomeEvent() {
    const std::string run = Pick(runs_).run_id;
    const int64_t seq = Draw(5) == 0 ? Draw(1 + seqs_[run]) + 1 : ++seqs_[run];
    const std::string key = Draw(8) == 0 ? "k1" : absl::StrCat("k", seq, "of", changes_.size(), Text());
    changes_.push_back(PutEvent{run, key, {.seq = seq, .unix_ms = Draw(1000), .kind = Text(), .payload_json = Text()}});
  }
  void OpenBatch() {
    const bool again = !batches_.empty() && Draw(10) == 0;
    PutBatch put =
        TestBatch(again ? Pick(batches_).id : ++last_batch_, Pick(runs_).run_id, absl::StrCat("step/", Draw(6)), 0);
    std::erase_if(batches_, [&](const Batch& batch) { return batch.id == put.batch.id; });
    put.batch.sampling = Blob();
    put.batch.fingerprint = Text();
    put.batch.bind_at_lease = Draw(2) == 0;
    put.batch.max_policy_lag = Draw(3);
    if (put.batch.bind_at_lease) put.batch.adapter = {};
    Batch batch{.id = put.batch.id, .run_id = put.batch.run_id};
    std::vector<GroupTask> groups;
    for (int64_t i = Draw(8); i > 0; --i) {
      groups.push_back({.index = 3 * (8 - i), .num_samples = static_cast<int>(Draw(9)), .spec = Blob()});
      batch.losses[groups.back().index] = 0;
    }
    put.groups = std::make_shared<const std::vector<GroupTask>>(std::move(groups));
    changes_.push_back(std::move(put));
    batches_.push_back(std::move(batch));
  }
  void Lease(Batch& batch) {
    if (batch.losses.empty() || Draw(20) == 0) {  // of a group that is none
      changes_.push_back(TestLease(batch.id, 1000, 1));
      return;
    }
    const auto [index, losses] = Pick(batch.losses);
    batch.losses.erase(index);
    batch.leased[index] = losses;
    PutLease lease = TestLease(batch.id, index, ++last_lease_);
    lease.adapter = TestAdapter(batch.run_id, Draw(4));
    lease.worker_id = Text();
    changes_.push_back(lease);
  }
  void EndLease(Batch& batch) {
    if (batch.leased.empty()) return;
    const auto [index, losses] = Pick(batch.leased);
    batch.leased.erase(index);
    if (Draw(4) == 0) {
      batch.losses[index] = losses + 1;
      changes_.push_back(RequeueGroup{batch.id, index, losses + 1});
      return;
    }
    FinishGroup finish = TestFinish(batch.id, batch.num_finished++, index, Blob());
    if (Draw(4) == 0) {
      finish.group.lost_reason = "lost " + Text();
      finish.group.result = nullptr;
    }
    changes_.push_back(finish);
  }
  void Drop() {
    // Its groups stay in batches_ now and then: changes of a batch that is gone.
    Batch& batch = Pick(batches_);
    changes_.push_back(DropBatch{batch.id});
    if (Draw(3) > 0) std::erase_if(batches_, [id = batch.id](const Batch& other) { return other.id == id; });
  }
  void Step() {
    const int64_t kind = Draw(24);
    if (kind == 0 && runs_.size() < 4) return AddRun();
    if (kind == 1) return ChangeRun();
    if (kind == 2) return PutSomeJob();
    if (kind == 3) return changes_.push_back(PutAdapter{TestAdapter(Pick(runs_).run_id, Draw(5))});
    if (kind <= 5) return PutSomeEvent();
    if (kind <= 7 || batches_.empty()) return OpenBatch();
    if (kind == 8) return Drop();
    return kind % 2 == 0 ? Lease(Pick(batches_)) : EndLease(Pick(batches_));
  }

  RandomStream random_;
  std::vector<StoreChange> changes_;
  std::vector<RunRecord> runs_;
  std::vector<JobRecord> jobs_;
  std::vector<Batch> batches_;
  std::map<std::string, int64_t> seqs_;
  int64_t last_batch_ = 0;
  int64_t last_lease_ = 0;
};

}  // namespace

std::string Describe(const StoreContents& contents) {
  std::string text = absl::StrCat("last batch ", contents.last_batch_id, "\n");
  for (const RunRecord& run : contents.runs) {
    absl::StrAppend(&text, "run ", Shown(run.run_id), " ", Shown(run.name), " ", Shown(run.arm), " ",
                    static_cast<int>(run.phase), " ", Shown(run.config_yaml), " ", Shown(run.config_sha256), " ",
                    run.steps_total, " ", run.steps_done, " ", Shown(run.error), " ", run.created_unix_ms, " ",
                    run.finished_unix_ms, " ", Shown(run.directory), " ", run.priority, " ", run.slots, " ",
                    Shown(run.sweep), " ", Shown(run.model_fingerprint));
    absl::StrAppend(&text, " ", Shown(run.adapter), " ", run.last_seq, "\n");
  }
  for (const JobRecord& job : contents.jobs) {
    absl::StrAppend(&text, "job ", job.order, " ", Shown(job.job_id), " ", Shown(job.run_id), " ",
                    static_cast<int>(job.type), " ", Shown(job.params_json), " ", static_cast<int>(job.phase), " ",
                    Shown(job.trainer_id), " ", Shown(job.trainer_name), " ", job.incarnation, " ",
                    job.num_lost_trainers, "\n");
  }
  for (const StoredBatch& stored : contents.batches) {
    const BatchRecord& batch = stored.batch;
    absl::StrAppend(&text, "batch ", batch.id, " ", Shown(batch.run_id), " ", Shown(batch.key), " ", batch.step, " ",
                    Shown(batch.adapter), " ", Hash(batch.sampling), " ", Shown(batch.fingerprint), " ",
                    batch.bind_at_lease, " ", batch.max_policy_lag, "\n");
    for (const StoredGroup& group : stored.groups) DescribeGroup(group, text);
  }
  for (const AdapterName& adapter : contents.adapters) absl::StrAppend(&text, "adapter ", Shown(adapter), "\n");
  for (const auto& [run_id, unsorted] : contents.event_keys) {
    std::vector<std::string> keys = unsorted;
    std::ranges::sort(keys);
    absl::StrAppend(&text, "keys ", Shown(run_id));
    for (const std::string& key : keys) absl::StrAppend(&text, " ", Shown(key));
    text += '\n';
  }
  return text;
}

std::string Describe(const std::vector<EventRecord>& events) {
  std::string text;
  for (const EventRecord& event : events) {
    absl::StrAppend(&text, event.seq, " ", event.unix_ms, " ", Shown(event.kind), " ", Shown(event.payload_json), "\n");
  }
  return text;
}

AdapterName TestAdapter(const std::string& run_id, int64_t step) {
  return {
      .run_id = run_id, .step = step, .sha256 = Sha256Hex(absl::StrCat("adapter ", step)), .size_bytes = 100 + step};
}

RunRecord TestRun(const std::string& run_id, int64_t created_ms) {
  return {.run_id = run_id,
          .name = "name of " + run_id,
          .arm = "arm",
          .phase = RunPhase::kRunning,
          .config_yaml = "steps: 3\n",
          .config_sha256 = Sha256Hex("steps: 3\n"),
          .steps_total = 3,
          .steps_done = 1,
          .created_unix_ms = created_ms,
          .directory = "/runs/" + run_id,
          .priority = 2,
          .slots = 3,
          .sweep = "sweep"};
}

PutBatch TestBatch(int64_t id, const std::string& run_id, const std::string& key, int64_t num_groups) {
  std::vector<GroupTask> groups;
  for (int64_t i = 0; i < num_groups; ++i) {
    groups.push_back({.index = i, .num_samples = 4, .spec = absl::StrCat("spec ", i)});
  }
  return {.batch = {.id = id,
                    .run_id = run_id,
                    .key = key,
                    .step = 7,
                    .adapter = TestAdapter(run_id, 6),
                    .sampling = "sampling",
                    .fingerprint = "fingerprint"},
          .groups = std::make_shared<const std::vector<GroupTask>>(std::move(groups))};
}

PutLease TestLease(int64_t batch_id, int64_t index, int64_t lease_id) {
  return {.batch_id = batch_id, .index = index, .lease_id = lease_id, .worker_id = "w", .adapter = TestAdapter("R", 6)};
}

FinishGroup TestFinish(int64_t batch_id, int64_t place, int64_t index, const std::string& result) {
  return {.batch_id = batch_id,
          .place = place,
          .group = {.index = index, .num_samples = 4, .result = std::make_shared<const std::string>(result)}};
}

PutEvent TestEvent(const std::string& run_id, int64_t seq, const std::string& key) {
  return {
      .run_id = run_id,
      .key = key,
      .event = {.seq = seq, .unix_ms = 10 * seq, .kind = "step", .payload_json = absl::StrCat("{\"n\":", seq, "}")}};
}

std::vector<StoreChange> RandomChanges(uint64_t seed, int num_changes) { return RandomList(seed).Make(num_changes); }

}  // namespace evilmoe
