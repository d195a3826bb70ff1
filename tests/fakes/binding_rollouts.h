#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "tests/fakes/fake_rollouts.h"
#include "trainer/rollouts.h"

namespace evilmoe {

// A coordinator with its workers, in the trainer's thread: between the trainer's calls groups of any open batch are
// leased, lost and handed in, at random and in any order. A group is bound to the adapter that is newest when it is
// leased, whatever its batch allows: that none is too old is the trainer's doing alone.
class BindingRollouts final : public Rollouts {
 public:
  explicit BindingRollouts(uint64_t seed) : stream_(StreamSeed(seed, "binding_rollouts", 0)) {}

  // Asked once in every wait for a batch; an error ends the wait with it.
  std::function<absl::Status(const BatchRequest&)> interrupt;
  int64_t opened_ahead = 0;    // calls of Open()
  int64_t finished_early = 0;  // groups that were done when the trainer began to wait for their batch
  int64_t num_groups = 0;      // of the batches that the trainer got
  std::string last_adapter;

  // The job starts over from this step: other batches are dropped, of its own what is done stays.
  void Begin(int64_t step) {
    std::erase_if(batches_, [&](const auto& entry) { return entry.second.request.step != step; });
    Work(stream_.Int(0, 6));
  }
  absl::Status Publish(int64_t step, const std::string& bytes) override {
    newest_ = step;
    last_adapter = bytes;
    Work(stream_.Int(0, 12));
    return absl::OkStatus();
  }
  absl::Status Open(const BatchRequest& request) override {
    ++opened_ahead;
    OpenOnce(request);
    Work(stream_.Int(0, 6));
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<GroupSamples>> Run(const BatchRequest& request) override {
    Batch& batch = OpenOnce(request);
    for (const Group& group : batch.groups) finished_early += group.result.has_value();
    while (true) {
      if (interrupt) {
        const absl::Status status = interrupt(request);
        if (!status.ok()) return status;
      }
      std::vector<GroupSamples> done;
      for (const Group& group : batch.groups) {
        if (group.result) done.push_back(*group.result);
      }
      if (done.size() == batch.groups.size()) {
        num_groups += static_cast<int64_t>(done.size());
        batches_.erase(request.key);
        return done;
      }
      Work(1);
    }
  }

 private:
  struct Group {
    bool leased = false;
    int64_t policy_step = 0;  // of its lease
    std::optional<GroupSamples> result;
  };
  struct Batch {
    BatchRequest request;
    std::vector<Group> groups;
  };

  Batch& OpenOnce(const BatchRequest& request) {
    const auto [entry, is_new] = batches_.try_emplace(request.key);
    if (is_new) entry->second = {request, std::vector<Group>(request.groups.size())};
    return entry->second;
  }
  // So many things happen to groups that are chosen at random.
  void Work(int64_t amount) {
    for (; amount > 0 && !batches_.empty(); --amount) {
      const auto batch = std::next(batches_.begin(), stream_.Int(0, static_cast<int64_t>(batches_.size()) - 1));
      const auto index = static_cast<size_t>(stream_.Int(0, static_cast<int64_t>(batch->second.groups.size()) - 1));
      Touch(batch->second.request, index, batch->second.groups[index]);
    }
  }
  void Touch(const BatchRequest& request, size_t index, Group& group) {
    if (group.result) return;
    if (!group.leased) {
      group = {.leased = true, .policy_step = newest_, .result = std::nullopt};
    } else if (stream_.Bernoulli(0.2)) {
      group.leased = false;  // its worker is gone
    } else {
      BatchRequest alone = request;
      alone.groups = {request.groups[index]};
      group.result = samples_.Run(alone)->at(0);
      group.result->policy_step = group.policy_step;
    }
  }

  RandomStream stream_;
  FakeRollouts samples_;
  std::map<std::string, Batch> batches_;
  int64_t newest_ = 0;
};

}  // namespace evilmoe
