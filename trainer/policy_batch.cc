#include "trainer/policy_batch.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "common/status_macros.h"

namespace evilmoe {
namespace {

at::Tensor Longs(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

// Appends the segments of one group and remembers which completion each of them belongs to (-1 = shared prompt).
class SegmentList {
 public:
  explicit SegmentList(bool share_prompt) : share_prompt_(share_prompt) {}

  void Add(const PromptCompletions& group) {
    EVILMOE_CHECK(!group.prompt->empty());
    ++num_groups_;
    const std::vector<int32_t> head(group.prompt->begin(), group.prompt->end() - 1);
    int prefix = share_prompt_ ? AddPrompt(head, -1) : -1;
    for (const std::vector<int32_t>* completion : group.completions) {
      EVILMOE_CHECK(!completion->empty());
      if (!share_prompt_) prefix = AddPrompt(head, num_completions_);
      std::vector<int32_t> inputs = {group.prompt->back()};
      inputs.insert(inputs.end(), completion->begin(), completion->end() - 1);
      completion_segments_.push_back(static_cast<int64_t>(segments_.size()));
      completions_.push_back(completion);
      owner_.push_back(num_completions_++);
      group_.push_back(num_groups_ - 1);
      segments_.push_back({.ids = std::move(inputs), .prefix = prefix});
    }
  }

  std::vector<Segment> segments_;
  std::vector<int64_t> owner_;                // of each segment
  std::vector<int64_t> group_;                // of each segment
  std::vector<int64_t> completion_segments_;  // of each completion
  std::vector<const std::vector<int32_t>*> completions_;

 private:
  // Index of the new root, or -1 where there is nothing in front of the last prompt token.
  int AddPrompt(const std::vector<int32_t>& head, int64_t owner) {
    if (head.empty()) return -1;
    segments_.push_back({.ids = head});
    owner_.push_back(owner);
    group_.push_back(num_groups_ - 1);
    return static_cast<int>(segments_.size()) - 1;
  }

  const bool share_prompt_;
  int64_t num_completions_ = 0, num_groups_ = 0;
};

}  // namespace

PolicyBatch MakePolicyBatch(const std::vector<PromptCompletions>& groups, bool share_prompt, c10::Device device) {
  SegmentList list(share_prompt);
  for (const PromptCompletions& group : groups) list.Add(group);
  PolicyBatch batch;
  batch.segment_of_S = list.completion_segments_;
  const auto num_completions = static_cast<int64_t>(list.completions_.size());
  batch.packed = Pack(std::move(list.segments_), device);

  std::vector<int64_t> rows, targets, completion_of,
      row_owner(static_cast<size_t>(batch.packed.num_tokens()), num_completions);
  std::vector<int64_t> row_group;
  for (size_t s = 0; s < list.owner_.size(); ++s) {
    const int64_t length = batch.packed.segment_length(static_cast<int>(s));
    row_group.insert(row_group.end(), static_cast<size_t>(length), list.group_[s]);
    if (list.owner_[s] < 0) continue;
    const int64_t begin = batch.packed.segment_begin(static_cast<int>(s));
    std::fill_n(row_owner.begin() + begin, length, list.owner_[s]);
  }
  std::vector<float> lengths;
  for (int64_t c = 0; c < num_completions; ++c) {
    const std::vector<int32_t>& ids = *list.completions_[static_cast<size_t>(c)];
    const int64_t begin = batch.packed.segment_begin(static_cast<int>(batch.segment_of_S[static_cast<size_t>(c)]));
    const auto length = static_cast<int64_t>(ids.size());
    for (int64_t t = 0; t < length; ++t) {
      rows.push_back(begin + t);
      targets.push_back(ids[static_cast<size_t>(t)]);
      completion_of.push_back(c);
    }
    lengths.push_back(static_cast<float>(length));
  }
  batch.completion_rows_C = Longs(rows).to(device);
  batch.targets_C = Longs(targets).to(device);
  batch.completion_of_C = Longs(completion_of).to(device);
  batch.completion_of_N = Longs(row_owner).to(device);
  batch.lengths_S = at::tensor(lengths, at::kFloat).to(device);
  batch.group_of_N = Longs(row_group).to(device);
  batch.num_groups = static_cast<int64_t>(groups.size());
  return batch;
}

}  // namespace evilmoe
