#include "tests/unit/services_ctl/verb_session.h"

#include <stdlib.h>
#include <zstd.h>

#include "absl/strings/str_cat.h"

namespace evilmoe {

VerbSession::VerbSession() {
  std::string name = (std::filesystem::path(::testing::TempDir()) / "verbs-XXXXXX").string();
  EXPECT_NE(mkdtemp(name.data()), nullptr);
  folder_ = name;
  EXPECT_EQ(setenv("EVILMOE_HOME", (folder_ / "runs").c_str(), 1), 0);
  EXPECT_EQ(setenv("XDG_CONFIG_HOME", (folder_ / "config").c_str(), 1), 0);
  coordinator_.runs.reserve(64);  // AddRun() gives references
}

VerbSession::~VerbSession() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

VerbSession::Result VerbSession::Ctl(std::vector<std::string> words) {
  words.insert(words.begin(), {"--endpoint", "fake"});
  return CtlAtHome(words);
}

VerbSession::Result VerbSession::CtlAtHome(const std::vector<std::string>& words) {
  const RealClock clock;
  std::istringstream in;
  std::ostringstream out, errors;
  const auto connect = [&](const Endpoint& endpoint) {
    dialled_.push_back(endpoint);
    return std::make_unique<FakeCoordinatorLink>(coordinator_);
  };
  Result result;
  result.exit_code = RunCommand(words, {.clock = clock,
                                        .connect = connect,
                                        .in = in,
                                        .out = out,
                                        .errors = errors,
                                        .terminal = false,
                                        .global = {},
                                        .home = {}});
  result.out = out.str();
  result.errors = errors.str();
  return result;
}

RunSummary& VerbSession::AddRun(const std::string& id, const std::string& name, const std::string& state) {
  RunSummary run;
  run.run_id = id;
  run.name = name;
  run.arm = "evil_moe";
  run.state = state;
  run.steps_total = 40;
  run.steps_done = 12;
  run.directory = absl::StrCat("/elsewhere/", id);
  coordinator_.runs.push_back(run);
  return coordinator_.runs.back();
}

std::string VerbSession::PackedRollouts(const std::string& lines) {
  std::string packed(ZSTD_compressBound(lines.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), lines.data(), lines.size(), 1));
  return packed;
}

}  // namespace evilmoe
