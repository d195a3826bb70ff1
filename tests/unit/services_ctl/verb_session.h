#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "services/ctl/verbs.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_coordinator_link.h"

namespace evilmoe {

// Whole command lines against a fake coordinator, in a home of their own.
class VerbSession : public ::testing::Test {
 protected:
  struct Result {
    int exit_code = -1;
    std::string out;
    std::string errors;
  };

  VerbSession();
  ~VerbSession() override;

  // With `--endpoint fake` in front.
  Result Ctl(std::vector<std::string> words);
  // Without an endpoint.
  Result CtlAtHome(const std::vector<std::string>& words);
  // Adds a run to the coordinator. Its directory is on another host.
  RunSummary& AddRun(const std::string& id, const std::string& name, const std::string& state);
  // A line each, packed as a trainer does.
  static std::string PackedRollouts(const std::string& lines);

  std::filesystem::path folder_;  // goes with everything in it
  FakeCoordinator coordinator_;
  std::vector<Endpoint> dialled_;
};

}  // namespace evilmoe
