#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/coordinator_link.h"
#include "services/ctl/verb.h"

namespace evilmoe {

// A run that a person named, and whom to ask about it.
struct FoundRun {
  RunSummary run;
  CoordinatorLink* link = nullptr;  // null: its directory is here, and it has or had a private stack

  RunDirectory directory() const { return RunDirectory{run.directory}; }
};

// Every run that a person can name: those of the endpoint where there is one; else those in the home's directories,
// with those of the home's long-lived stack while it is up.
class RunCatalog {
 public:
  // `context` must outlive it.
  explicit RunCatalog(const VerbContext& context);

  // Oldest first; those of one sweep, or all where it is empty. Errors of the coordinator.
  absl::StatusOr<std::vector<RunSummary>> List(const std::string& sweep = "");
  // As PickRun. The link lives as long as the catalog.
  absl::StatusOr<FoundRun> Find(const std::string& word);
  // Where a new run goes: the endpoint, or the long-lived stack. Null: a private stack.
  CoordinatorLink* link() { return link_.get(); }
  // In words, for messages: "coordinator host:port".
  const std::string& where() const { return where_; }

 private:
  const VerbContext& context_;
  bool with_directories_ = true;
  std::string where_;
  std::unique_ptr<CoordinatorLink> link_;
};

// OK where the run has, or had, a private stack, which can be started again. FailedPrecondition: it is of the home's
// long-lived stack, which is not up.
absl::Status CheckPrivate(const FoundRun& found);
// Whether the run's directory is on this host.
bool HasLocalFiles(const FoundRun& found);
// Its files, here or over its link, which must outlive them.
std::unique_ptr<RunFiles> FilesOf(const FoundRun& found);

}  // namespace evilmoe
