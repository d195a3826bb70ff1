#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace evilmoe {

// What the ranks of one run do together. Every rank makes the same calls in the same order, each from one thread. After
// an error the group is dead: all later calls fail too, and the run goes on from its last checkpoint with a new group.
//
// Errors: DeadlineExceeded, a rank did not take part in time; Unavailable, a rank died; both name the operation.
class Collective {
 public:
  virtual ~Collective() = default;

  virtual int rank() const = 0;  // [0, size())
  virtual int size() const = 0;
  // Where this rank computes.
  virtual c10::Device device() const = 0;
  // Replaces `flat` by its sum over ranks, the same bits on every rank. Contiguous, fp32, fp64 or int64, of one length.
  virtual absl::Status Sum(at::Tensor& flat) = 0;
  // Rank 0's bytes on every rank; what others pass is ignored.
  virtual absl::StatusOr<std::string> Broadcast(std::string bytes) = 0;
  // The one wait without a deadline, for the time between steps, when rank 0 samples. Rank 0: says that its next
  // operation comes now. The others: return once it has said so. Unavailable: what carries the message is gone.
  virtual absl::Status AwaitTurn() = 0;
};

// A run of one rank: nothing to exchange.
class SingleRank final : public Collective {
 public:
  explicit SingleRank(c10::Device device = c10::kCPU) : device_(device) {}
  int rank() const override { return 0; }
  int size() const override { return 1; }
  c10::Device device() const override { return device_; }
  absl::Status Sum(at::Tensor&) override { return absl::OkStatus(); }
  absl::StatusOr<std::string> Broadcast(std::string bytes) override { return bytes; }
  absl::Status AwaitTurn() override { return absl::OkStatus(); }

 private:
  const c10::Device device_;
};

}  // namespace evilmoe
