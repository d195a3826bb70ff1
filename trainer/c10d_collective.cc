#include "trainer/c10d_collective.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <vector>
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

constexpr char kHost[] = "127.0.0.1";
constexpr std::chrono::milliseconds kLongWait = std::chrono::hours(1);

using Backend = c10::intrusive_ptr<c10d::Backend>;

// Gloo, NCCL and the store throw many types, some of which no header has; what they say tells which it was.
absl::Status Typed(const char* what, const RankGroup& group, absl::Duration deadline, const absl::Status& error) {
  std::string text(error.message());
  text.resize(std::min(text.size(), text.find('\n')));
  const std::string who = absl::StrCat(what, " on rank ", group.rank, " of ", group.size, ": ");
  if (absl::StrContains(text, "imed out") || absl::StrContains(text, "imeout")) {
    return absl::DeadlineExceededError(
        absl::StrCat(who, "a rank did not take part within ", absl::FormatDuration(deadline), "; ", text));
  }
  return absl::UnavailableError(absl::StrCat(who, "a rank has died; ", text));
}

Backend MakeBackend(const RankStore& store, const RankGroup& group) {
  const auto own = c10::make_intrusive<c10d::PrefixStore>(absl::StrCat("group-", group.generation), store);
  const auto timeout = absl::ToChronoMilliseconds(group.join_deadline);
#ifdef USE_C10D_NCCL
  if (group.device.is_cuda()) {
    setenv("TORCH_NCCL_BLOCKING_WAIT", "1", /*overwrite=*/0);  // wait() itself tells of a timeout, no watchdog's abort
    const auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = timeout;
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(own, group.rank, group.size, options);
  }
#endif
  own->setTimeout(timeout);
  const auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(kHost));
  return c10::make_intrusive<c10d::ProcessGroupGloo>(own, group.rank, group.size, options);
}

absl::Status Check(const RankGroup& group) {
  if (group.rank < 0 || group.rank >= group.size) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", group.rank, " of ", group.size, ", expected [0, size)"));
  }
  if (group.deadline < absl::Milliseconds(10)) {
    return absl::InvalidArgumentError(
        absl::StrCat("deadline of ", absl::FormatDuration(group.deadline), ", expected at least 10 ms"));
  }
#ifndef USE_C10D_NCCL
  if (!group.device.is_cpu()) {
    return absl::UnimplementedError(absl::StrCat("ranks on ", group.device.str(), ": built without CUDA"));
  }
#endif
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<C10dCollective>> C10dCollective::Join(RankStore store, const RankGroup& group) {
  EVILMOE_RETURN_IF_ERROR(Check(group));
  std::signal(SIGPIPE, SIG_IGN);
  absl::StatusOr<Backend> backend = TorchGuard("c10d", [&] { return MakeBackend(store, group); });
  if (!backend.ok()) return Typed("join", group, group.join_deadline, backend.status());
  std::unique_ptr<C10dCollective> joined(new C10dCollective(std::move(store), group, *std::move(backend)));
  // Connections may be made as late as at the first use: whoever returns from here has met all the others.
  at::Tensor present = at::ones({1}, at::kLong);
  EVILMOE_RETURN_IF_ERROR(joined->Sum(present, "join", group.join_deadline));
  return joined;
}

C10dCollective::C10dCollective(RankStore store, const RankGroup& group, Backend backend)
    : store_(std::move(store)), group_(group), backend_(std::move(backend)) {}

// Runs one operation to its end. The first error drops the backend: that closes the connections, which tells the
// others.
template <typename F>
absl::Status C10dCollective::Do(const char* what, absl::Duration deadline, F&& start) {
  if (!dead_.ok()) return dead_;
  const c10::NoGradGuard no_grad;
  const absl::Status done = TorchGuard("c10d", [&] {
                              start()->wait();
                              return true;
                            }).status();
  if (done.ok()) return done;
  dead_ = Typed(what, group_, deadline, done);
  backend_.reset();
  return dead_;
}

absl::Status C10dCollective::Sum(at::Tensor& flat) { return Sum(flat, "sum", group_.deadline); }

absl::Status C10dCollective::Sum(at::Tensor& flat, const char* what, absl::Duration deadline) {
  if (flat.numel() == 0) return dead_;
  at::Tensor here = flat.to(group_.device);  // the same tensor where it is there already
  EVILMOE_RETURN_IF_ERROR(Do(what, deadline, [&] {
    std::vector<at::Tensor> tensors = {here};
    c10d::AllreduceOptions options;
    options.timeout = absl::ToChronoMilliseconds(deadline);
    return backend_->allreduce(tensors, options);
  }));
  if (!here.is_same(flat)) flat.copy_(here);
  return absl::OkStatus();
}

absl::Status C10dCollective::BroadcastTensor(at::Tensor& tensor) {
  at::Tensor here = tensor.to(group_.device);
  EVILMOE_RETURN_IF_ERROR(Do("broadcast", group_.deadline, [&] {
    std::vector<at::Tensor> tensors = {here};
    c10d::BroadcastOptions options;
    options.timeout = absl::ToChronoMilliseconds(group_.deadline);
    return backend_->broadcast(tensors, options);
  }));
  if (!here.is_same(tensor)) tensor.copy_(here);
  return absl::OkStatus();
}

absl::StatusOr<std::string> C10dCollective::Broadcast(std::string bytes) {
  if (rank() == 0 && static_cast<int64_t>(bytes.size()) > kMaxBroadcastBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("broadcast: ", bytes.size(), " bytes, expected at most ", kMaxBroadcastBytes));
  }
  at::Tensor length = at::full({1}, rank() == 0 ? static_cast<int64_t>(bytes.size()) : -1, at::kLong);
  EVILMOE_RETURN_IF_ERROR(BroadcastTensor(length));
  const int64_t size = length.item<int64_t>();
  if (size < 0 || size > kMaxBroadcastBytes) {
    return absl::DataLossError(
        absl::StrCat("broadcast: ", size, " bytes announced, expected at most ", kMaxBroadcastBytes));
  }
  bytes.resize(static_cast<size_t>(size));
  if (size == 0) return bytes;
  at::Tensor view = at::from_blob(bytes.data(), {size}, at::kByte);
  EVILMOE_RETURN_IF_ERROR(BroadcastTensor(view));
  return bytes;
}

absl::Status C10dCollective::AwaitTurn() {
  if (!dead_.ok()) return dead_;
  // Never deleted: rank 0 may be turns ahead of a slow rank. A turn costs the store some hundred bytes.
  const std::string key = absl::StrCat("group-", group_.generation, "/turn-", turn_);
  const absl::Status told = TorchGuard("rank store", [&] {
                              if (rank() == 0) {
                                store_->set(key, std::vector<uint8_t>{1});
                                return true;
                              }
                              while (!store_->check({key})) {
                                try {
                                  store_->wait({key}, kLongWait);
                                } catch (const c10::DistStoreError&) {  // an hour is over
                                }
                              }
                              return true;
                            }).status();
  if (!told.ok()) return dead_ = absl::UnavailableError(absl::StrCat("turn ", turn_, ": ", told.message()));
  ++turn_;
  return absl::OkStatus();
}

}  // namespace evilmoe
