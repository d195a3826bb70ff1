#include "grader_sandbox/cell_pool.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

double SteadySeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

absl::Status Cancelled() { return absl::CancelledError("grader: cancelled"); }

}  // namespace

CellPool::CellPool(SandboxHost& host, int num_slots, int queue_limit, std::function<void(int)> on_depth)
    : host_(host), queue_limit_(static_cast<size_t>(queue_limit)), on_depth_(std::move(on_depth)) {
  for (int slot = 0; slot < num_slots; ++slot) {
    threads_.emplace_back([this, slot] { Serve(slot); });
  }
}

CellPool::~CellPool() {
  std::map<uint64_t, Work> left;
  {
    const MutexLock lock(mu_);
    stopping_ = true;
    left.swap(waiting_);
    for (const auto& [ticket, flag] : running_) flag->store(true);
    mu_.NotifyAll();
  }
  if (!left.empty()) TellDepth();
  for (const auto& [ticket, work] : left) work.refuse(absl::UnavailableError("grader: it is stopping"));
  threads_.clear();
}

absl::StatusOr<uint64_t> CellPool::Submit(Work work) {
  uint64_t ticket = 0;
  {
    const MutexLock lock(mu_);
    if (stopping_) return absl::UnavailableError("grader: it is stopping");
    const size_t num_free = threads_.size() - std::min(threads_.size(), running_.size());
    if (waiting_.size() >= queue_limit_ + num_free) {
      return absl::ResourceExhaustedError(
          absl::StrCat("grader: ", waiting_.size(), " samples wait already, retry later"));
    }
    ticket = next_ticket_++;
    order_.Push(ticket, work.caller, SteadySeconds(), absl::ToDoubleSeconds(work.expected));
    waiting_.emplace(ticket, std::move(work));
    mu_.NotifyAll();
  }
  TellDepth();
  return ticket;
}

void CellPool::Cancel(uint64_t ticket) {
  std::optional<Work> work;
  {
    const MutexLock lock(mu_);
    if (const auto running = running_.find(ticket); running != running_.end()) running->second->store(true);
    const auto found = waiting_.find(ticket);
    if (found == waiting_.end()) return;
    work = std::move(found->second);
    waiting_.erase(found);
    order_.Remove(ticket);
  }
  TellDepth();
  work->refuse(Cancelled());
}

int CellPool::num_waiting() {
  const MutexLock lock(mu_);
  return static_cast<int>(waiting_.size());
}

int CellPool::num_running() {
  const MutexLock lock(mu_);
  return static_cast<int>(running_.size());
}

void CellPool::TellDepth() {
  if (!on_depth_) return;
  const MutexLock lock(depth_mu_);
  on_depth_(num_waiting());
}

void CellPool::Serve(int slot) {
  Cell cell(host_.CellOptions(slot));
  while (ServeNext(cell)) {
  }
}

// False: time to stop.
bool CellPool::ServeNext(Cell& cell) {
  uint64_t ticket = 0;
  Work work;
  const Flag cancelled = std::make_shared<std::atomic<bool>>(false);
  {
    const MutexLock lock(mu_);
    const auto ready = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stopping_ || !waiting_.empty(); };
    while (!mu_.AwaitFor(absl::Seconds(10), ready)) {
    }
    if (stopping_) return false;
    ticket = order_.Pop().value();
    work = std::move(waiting_.extract(ticket).mapped());
    running_.emplace(ticket, cancelled);
  }
  TellDepth();
  work.run(cell, [&]() -> absl::Status { return cancelled->load() ? Cancelled() : absl::OkStatus(); });
  const MutexLock lock(mu_);
  running_.erase(ticket);
  return true;
}

}  // namespace evilmoe
