#include "grader_sandbox/grade_stream_service.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grader_sandbox/grader_translation.h"
#include "proto/grpc_status.h"

namespace evilmoe {
namespace {

constexpr size_t kWindow = 64;  // grader.proto

}  // namespace

GradeStreamCall* GradeStreamCall::Begin(LocalGrader& grader, const std::atomic<bool>& serving, CallPermit permit,
                                        std::string caller) {
  const std::shared_ptr<GradeStreamCall> call(
      new GradeStreamCall(grader, serving, std::move(permit), std::move(caller)));
  call->self_ = call;
  call->StartRead(&call->request_);
  return call.get();
}

void GradeStreamCall::OnReadDone(bool ok) {
  {
    const MutexLock lock(mu_);
    owner_ = ok ? Owner::kTake : Owner::kNobody;
    all_read_ = !ok;
    if (!ok) return WriteOnLocked();
  }
  Take();
}

// request_ is whole and ours: grades it, or answers why not, or leaves it until one of ours is done.
void GradeStreamCall::Take() {
  const uint64_t id = request_.id();
  {
    const MutexLock lock(mu_);
    const bool taken = tickets_.contains(id);
    if (cancelled_ || taken) {
      owner_ = Owner::kNobody;
      if (taken && !cancelled_) {
        v1::GradeStreamResponse& response = to_write_.emplace();
        response.set_id(id);
        response.set_code(grpc::StatusCode::ALREADY_EXISTS);
        response.set_message(absl::StrCat("id ", id, ": a sample of this id is not answered yet"));
      }
      ReadOnLocked();
      return WriteOnLocked();
    }
    tickets_[id] = 0;
  }
  const absl::StatusOr<uint64_t> ticket = Submit(id);
  bool cancel = false;
  {
    const MutexLock lock(mu_);
    if (absl::IsResourceExhausted(ticket.status()) && tickets_.size() > 1 && !cancelled_) {
      tickets_.erase(id);
      owner_ = Owner::kWaitsForRoom;
      return;
    }
    owner_ = Owner::kNobody;
    cancel = ticket.ok() && cancelled_;
    if (ticket.ok()) {
      if (const auto mine = tickets_.find(id); mine != tickets_.end()) mine->second = *ticket;
      ReadOnLocked();
      WriteOnLocked();
    }
  }
  if (cancel) grader_.Cancel(*ticket);
  if (!ticket.ok()) Answer(id, ticket.status());
}

absl::StatusOr<uint64_t> GradeStreamCall::Submit(uint64_t id) {
  if (!serving_) return absl::UnavailableError("grader: it is stopping");
  return grader_.Submit(FromProto(request_.request()), caller_,
                        [self = shared_from_this(), id](const absl::StatusOr<GradeResult>& result) {
                          self->Answer(id, result);
                        });
}

void GradeStreamCall::ReadOnLocked() {
  if (owner_ != Owner::kNobody || all_read_ || cancelled_ || finished_) return;
  if (tickets_.size() + to_write_.size() >= kWindow) return;
  owner_ = Owner::kGrpc;
  StartRead(&request_);
}

void GradeStreamCall::Answer(uint64_t id, const absl::StatusOr<GradeResult>& result) {
  v1::GradeStreamResponse response;
  response.set_id(id);
  const grpc::Status status = ToGrpcStatus(result.status());
  response.set_code(status.error_code());
  response.set_message(status.error_message());
  if (result.ok()) *response.mutable_response() = ToProto(*result);
  bool take = false;
  {
    const MutexLock lock(mu_);
    tickets_.erase(id);
    if (!cancelled_) to_write_.push(std::move(response));
    take = owner_ == Owner::kWaitsForRoom && !cancelled_;
    if (take) owner_ = Owner::kTake;
    ReadOnLocked();
    WriteOnLocked();
  }
  if (take) Take();
}

void GradeStreamCall::WriteOnLocked() {
  if (writing_ || finished_) return;
  if (!cancelled_ && !to_write_.empty()) {
    writing_ = true;
    return StartWrite(&to_write_.front());
  }
  const bool quiet = tickets_.empty() && owner_ == Owner::kNobody;
  if (!quiet || (!cancelled_ && !all_read_)) return;
  finished_ = true;
  Finish(cancelled_ ? grpc::Status(grpc::StatusCode::CANCELLED, "the client is gone") : grpc::Status::OK);
}

void GradeStreamCall::OnWriteDone(bool ok) {
  {
    const MutexLock lock(mu_);
    writing_ = false;
    to_write_.pop();
    if (ok) {
      ReadOnLocked();
      return WriteOnLocked();
    }
  }
  CancelAll();
}

void GradeStreamCall::OnCancel() { CancelAll(); }

void GradeStreamCall::CancelAll() {
  std::vector<uint64_t> tickets;
  {
    const MutexLock lock(mu_);
    cancelled_ = true;
    if (owner_ == Owner::kWaitsForRoom) owner_ = Owner::kNobody;
    for (const auto& [id, ticket] : tickets_) tickets.push_back(ticket);
    if (!writing_) to_write_ = {};
    WriteOnLocked();
  }
  for (const uint64_t ticket : tickets) grader_.Cancel(ticket);  // 0 is nobody's
}

}  // namespace evilmoe
