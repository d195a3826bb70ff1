#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/adapter_metadata.h"
#include "policy/lora2r.h"
#include "policy/qwen3.h"
#include "policy/routing.h"

namespace evilmoe {

// What a training step needs of an adapter, whatever it is made of. Legend: N packed rows of a pass.

// The rows of one pass through the network.
struct PassRows {
  Routing routing;     // one number a row, (N, 1)
  at::Tensor group_N;  // int64: the prompt group of each row
  int64_t num_groups = 0;
  // Of one group in what a step has beside its policy loss: 1 / groups of the step; 0 in a pass that is not of the
  // loss.
  double group_share = 0;
};

// What a pass says beside its hidden states; sums over passes are of the step.
struct AdapterPassStats {
  double balance = 0;              // mean over layers and groups of the step; of per-token experts
  std::vector<double> dispatches;  // rows sent to each expert, over all layers; empty without per-token experts
};

// One pass, forward and backward. The replica that began it must outlive it.
class AdapterPass {
 public:
  virtual ~AdapterPass() = default;
  virtual Projector& projector() = 0;
  // After the forward pass: adds what it saw.
  virtual void AddTo(AdapterPassStats& /*stats*/) const {}
};

// What one thread differentiates: leaves that share storage with the adapter's parameters and gather gradients of their
// own, so that an optimizer step is seen by all replicas.
class AdapterReplica {
 public:
  explicit AdapterReplica(std::vector<at::Tensor> leaves) : leaves_(std::move(leaves)) {}
  virtual ~AdapterReplica() = default;

  // In the order of the adapter's parameters.
  const std::vector<at::Tensor>& leaves() const { return leaves_; }
  virtual std::unique_ptr<AdapterPass> Begin(PassRows rows) const = 0;
  // The leaves' gradients hold for the deployed part, those of `other`, in the same order, for the quarantine: leaves
  // the former with both.
  virtual void TakeQuarantine(const std::vector<at::Tensor>& other) const = 0;

 private:
  const std::vector<at::Tensor> leaves_;
};

// Norms of a gradient by what is deployed and what is held back.
struct BlockNorms {
  double deployed = 0, quarantine = 0;
};

// The adapter under training. Its parameters are overwritten in place by an optimizer and by a checkpoint.
class TrainedAdapter {
 public:
  struct Parameter {
    std::string name;   // in the adapter's file
    at::Tensor value;   // fp32 or, for tests, double
    at::Tensor anchor;  // its init, which weight decay pulls towards; undefined: 0
  };

  explicit TrainedAdapter(std::vector<Parameter> parameters) : parameters_(std::move(parameters)) {}
  virtual ~TrainedAdapter() = default;

  // In the optimizer's order; every list of gradients has the same.
  const std::vector<Parameter>& parameters() const { return parameters_; }
  // The file's bytes. The same parameters and provenance always give the same ones.
  virtual absl::StatusOr<std::string> Serialize(const AdapterProvenance& provenance) const = 0;
  virtual std::unique_ptr<AdapterReplica> Replica() const = 0;
  // An undefined gradient is 0. Without a quarantine all of the adapter is deployed.
  virtual BlockNorms Norms(const std::vector<at::Tensor>& gradients) const = 0;
  virtual int64_t num_experts() const { return 0; }  // that a row is sent to some of; 0: none
  // The two experts that a gate of rollouts reads features of; null where the adapter has no such two.
  virtual const Lora2r* two_experts() const { return nullptr; }

 private:
  const std::vector<Parameter> parameters_;
};

}  // namespace evilmoe
