#pragma once

#include <c10/core/Device.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "trainer/collective.h"
#include "trainer/rank_store.h"

namespace evilmoe {

struct RankGroup {
  int rank = 0;
  int size = 1;
  // Each group that is built over one store has a number of its own: a dead group's keys must not be met again.
  int generation = 0;
  // Every operation ends within it, with its result or an error. At least as long as a rank may come later than another
  // to the same operation, within a step; at least 10 ms.
  absl::Duration deadline = absl::Minutes(5);
  // Until all are there: processes that start together load LibTorch at their own pace.
  absl::Duration join_deadline = absl::Minutes(2);
  c10::Device device = c10::kCPU;  // CPU: Gloo on 127.0.0.1; CUDA: NCCL
};

// Collective over LibTorch's c10d. Gloo cannot abort an operation: on a CPU, a rank whose peer is frozen waits out the
// deadline; one whose peer has died is told at once, since the connections between them close. Not thread-safe.
class C10dCollective final : public Collective {
 public:
  // Returns once all `group.size` ranks are there. Makes SIGPIPE ignored in this process, which Gloo relies on.
  // DeadlineExceeded: not all came in time; Unavailable: a rank or the store died; InvalidArgument: no such rank;
  // Unimplemented: a CUDA device in a build without NCCL.
  static absl::StatusOr<std::unique_ptr<C10dCollective>> Join(RankStore store, const RankGroup& group);

  int rank() const override { return group_.rank; }
  int size() const override { return group_.size; }
  c10::Device device() const override { return group_.device; }
  absl::Status Sum(at::Tensor& flat) override;
  // DataLoss too: what came is longer than kMaxBroadcastBytes. InvalidArgument: what rank 0 has is.
  absl::StatusOr<std::string> Broadcast(std::string bytes) override;

  // By the store, which lives as long as the launcher.
  absl::Status AwaitTurn() override;

 private:
  C10dCollective(RankStore store, const RankGroup& group, c10::intrusive_ptr<c10d::Backend> backend);
  absl::Status Sum(at::Tensor& flat, const char* what, absl::Duration deadline);
  absl::Status BroadcastTensor(at::Tensor& tensor);
  template <typename F>
  absl::Status Do(const char* what, absl::Duration deadline, F&& start);

  const RankStore store_;
  const RankGroup group_;
  c10::intrusive_ptr<c10d::Backend> backend_;
  int64_t turn_ = 0;
  absl::Status dead_;  // the first error
};

inline constexpr int64_t kMaxBroadcastBytes = int64_t{1} << 30;

}  // namespace evilmoe
