#include "services/ctl/targets_file.h"

#include <utility>

#include "common/file.h"

namespace evilmoe {

void TargetsFile::Update() {
  std::string targets = TargetsJson(layout_);
  if (targets == written_) return;
  const absl::Status status = WriteFileAtomic(layout_.targets, targets);
  if (status.ok()) written_ = std::move(targets);
  if (!status.ok() && !failed_) logger_.Warn("targets_not_written", {{"error", std::string(status.message())}});
  failed_ = !status.ok();
}

}  // namespace evilmoe
