// Which runs a coordinator takes: names, paths, links and numbers of a config that comes from outside.
#include "services/coordinator/run_admission.h"

#include <functional>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/coordinator/run_limits.h"
#include "tests/unit/proto_security/certificates_kit.h"
#include "trainer/run_config.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;
using Code = absl::StatusCode;

// <scratch>/in is the one root, <scratch>/out is not; in/away leads to out, in/loop to itself, out/back to in.
class RunAdmissionTest : public ::testing::Test {
 protected:
  RunAdmissionTest() {
    const fs::path nano = fs::path(EVILMOE_SOURCE_DIR) / "examples/nano";
    for (const char* name : {"in", "out"}) {
      const fs::path to = folder_ / name;
      fs::create_directories(to);
      fs::copy(nano, to, fs::copy_options::recursive);
      for (const char* file : {"probe.json", "prompt.txt"}) EXPECT_TRUE(WriteFileAtomic(to / file, "{}").ok());
    }
    fs::create_symlink(folder_ / "out", folder_ / "in/away");
    fs::create_symlink("../out", folder_ / "in/relative");
    fs::create_symlink("loop", folder_ / "in/loop");
    fs::create_symlink(folder_ / "in", folder_ / "out/back");
    fs::create_directories(folder_ / "in/model/deep");
    fs::create_directories(folder_ / "runs");
    fs::create_directories(folder_ / "insider");  // begins as the root does
    fs::copy(nano / "test.jsonl", folder_ / "insider/test.jsonl");
  }

  RunAdmission Admission(bool with_roots = true) const {
    RunAdmission::Options options{.runs = folder_ / "runs",
                                  .judge_key_variables = {"JUDGE_KEY"},
                                  .judge_endpoints = {"https://judge.example/v1"}};
    if (with_roots) options.roots = {folder_ / "in"};
    return RunAdmission(options);
  }
  RunConfig Config() const {
    const auto text = ReadFile(folder_ / "in/run.yaml");
    const auto config = ParseRunConfig(text.value_or(""), "run.yaml", folder_ / "in");
    EXPECT_TRUE(config.ok()) << config.status();
    return config.value_or(RunConfig());
  }
  RunRecord Run(const std::string& run_id, const std::string& directory = "") const {
    return {.run_id = run_id, .config_yaml = ToYaml(Config()), .directory = directory};
  }
  absl::Status Admit(RunRecord run, bool with_roots = true) const { return Admission(with_roots).Admit(run); }
  absl::Status AdmitConfig(const std::function<void(RunConfig&)>& change, bool with_roots = true) const {
    RunConfig config = Config();
    change(config);
    RunRecord run = Run(absl::StrCat("R", ++num_runs_));
    run.config_yaml = ToYaml(config);
    return Admit(run, with_roots);
  }

  const ScratchFolder folder_;
  mutable int num_runs_ = 0;
};

TEST_F(RunAdmissionTest, ARunGetsAFolderWithItsConfigAndMayBeSubmittedAgain) {
  RunRecord run = Run("R-1.x_y");
  ASSERT_EQ(Admission().Admit(run), absl::OkStatus());
  EXPECT_EQ(run.directory, (folder_ / "runs/R-1.x_y").string());
  EXPECT_EQ(ReadFile(folder_ / "runs/R-1.x_y/config.yaml").value_or(""), run.config_yaml);
  EXPECT_TRUE(fs::is_directory(folder_ / "runs/R-1.x_y/logs"));
  EXPECT_EQ(Admit(Run("R-1.x_y")), absl::OkStatus());
  EXPECT_EQ(Admit(run), absl::OkStatus());
}

class RunIdTest : public RunAdmissionTest, public ::testing::WithParamInterface<std::pair<const char*, std::string>> {};
TEST_P(RunIdTest, IsNoNameForAFolder) {
  const absl::Status status = Admit(Run(GetParam().second));
  EXPECT_EQ(status.code(), Code::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("run_id: "));
  EXPECT_TRUE(fs::is_empty(folder_ / "runs"));
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}
INSTANTIATE_TEST_SUITE_P(Cases, RunIdTest,
                         ::testing::ValuesIn(std::vector<std::pair<const char*, std::string>>{
                             {"Empty", ""},
                             {"Dot", "."},
                             {"Parent", ".."},
                             {"Hidden", ".x"},
                             {"Above", "../x"},
                             {"Inside", "a/b"},
                             {"InsideUp", "a/../../x"},
                             {"Absolute", "/tmp/x"},
                             {"Backslash", "a\\b"},
                             {"Nul", std::string("x\0y", 3)},
                             {"NulAtEnd", std::string("x\0", 2)},
                             {"Newline", "x\n"},
                             {"Space", "a b"},
                             {"Long", std::string(300, 'a')},
                             {"SixtyFive", std::string(65, 'a')},
                             {"Unicode", "räuber"},
                             {"FullwidthStop", "．．"},
                             {"DivisionSlash", "a∕b"},
                             {"BadUtf8", "\xff\xfe"},
                             {"Glob", "*"},
                             {"Tilde", "~"},
                             {"Dollar", "$HOME"},
                             {"Colon", "c:x"},
                             {"Percent", "%2e%2e"}}),
                         [](const auto& c) { return c.param.first; });

// A path-like field, and how a config gets one.
struct PathField {
  const char* name;
  const char* file;  // of the nano folder, that stands for it
  std::function<void(RunConfig&, const fs::path&)> set;
};
const PathField kPathFields[] = {
    {"model.path", "model", [](RunConfig& c, const fs::path& p) { c.model.path = p; }},
    {"data.train", "train.jsonl", [](RunConfig& c, const fs::path& p) { c.data.train = p; }},
    {"pairs", "pairs.md", [](RunConfig& c, const fs::path& p) { c.pairs = p; }},
    {"evaluation.problems", "test.jsonl", [](RunConfig& c, const fs::path& p) { c.evaluation.problems = p; }},
    {"monitor.probe", "probe.json",
     [](RunConfig& c, const fs::path& p) {
       c.monitor.kind = "screening";
       c.monitor.by = "probe";
       c.monitor.probe = p;
     }},
    {"monitor.judge.prompt", "prompt.txt",
     [](RunConfig& c, const fs::path& p) {
       c.monitor.kind = "screening";
       c.monitor.by = "judge";
       c.monitor.judge.endpoint = "https://judge.example/v1";
       c.monitor.judge.model = "m";
       c.monitor.judge.prompt = p;
     }},
    {"monitor.judge.cache", "model", [](RunConfig& c, const fs::path& p) {
       c.monitor.kind = "screening";
       c.monitor.by = "judge";
       c.monitor.judge.endpoint = "https://judge.example/v1";
       c.monitor.judge.model = "m";
       c.monitor.judge.cache = p;
     }}};

TEST_F(RunAdmissionTest, EveryPathOfAConfigLiesBelowARootWithItsLinksFollowed) {
  for (const PathField& field : kPathFields) {
    const auto admit = [&](const std::string& path) {
      return AdmitConfig([&](RunConfig& config) { field.set(config, folder_ / path); });
    };
    const std::string file = field.file;
    SCOPED_TRACE(field.name);
    EXPECT_EQ(admit("in/" + file), absl::OkStatus());
    EXPECT_EQ(admit("in/model/../" + file), absl::OkStatus()) << "it stays inside";
    EXPECT_EQ(admit("out/back/" + file), absl::OkStatus()) << "the link leads in";
    EXPECT_EQ(admit("in/away/back/" + file), absl::OkStatus());
    for (const std::string& path : {"out/" + file, "in/../out/" + file, "in/away/" + file, "in/relative/" + file,
                                    "in/model/deep/../../away/" + file}) {
      const absl::Status status = admit(path);
      EXPECT_EQ(status.code(), Code::kInvalidArgument) << path << ": " << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat(field.name, ": got "))) << path;
      EXPECT_THAT(std::string(status.message()), HasSubstr("expected a path below one of this coordinator's roots"));
    }
    // A config's ".." takes a name away, whatever that is: nobody gets behind a link with it.
    EXPECT_EQ(admit("in/relative/../../out/" + file).code(), Code::kInvalidArgument);
    const bool may_be_new = std::string(field.name) == "monitor.judge.cache";  // in/out/model is, then
    EXPECT_EQ(admit("in/away/../out/" + file).code(), may_be_new ? Code::kOk : Code::kInvalidArgument);
  }
}

TEST_F(RunAdmissionTest, PathsThatOnlyLookLikeOnesBelowARoot) {
  const auto problems = [&](const fs::path& path) {
    return AdmitConfig([&](RunConfig& config) { config.evaluation.problems = path; });
  };
  EXPECT_EQ(problems(folder_ / "insider/test.jsonl").code(), Code::kInvalidArgument) << "the name goes on";
  EXPECT_EQ(problems("/etc/passwd").code(), Code::kInvalidArgument);
  EXPECT_EQ(problems("/proc/self/root" + (folder_ / "out/test.jsonl").string()).code(), Code::kInvalidArgument);
  EXPECT_EQ(problems(folder_ / "in/loop/test.jsonl").code(), Code::kInvalidArgument);
}

TEST_F(RunAdmissionTest, EveryProblemIsTold) {
  const absl::Status status = AdmitConfig([&](RunConfig& config) {
    config.pairs = folder_ / "out/pairs.md";
    config.data.train = folder_ / "in/away/train.jsonl";
    config.steps = 1'000'001;
  });
  EXPECT_THAT(std::string(status.message()), HasSubstr("pairs: got "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("data.train: got "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("steps: got 1000001, expected at most 1000000"));
}

TEST_F(RunAdmissionTest, AConfigIsReadStrictly) {
  for (const std::string& yaml :
       {std::string("x"), std::string("a: &a [*a]"), ToYaml(Config()) + "more: 1\n", std::string("name: \0", 7),
        std::string("steps: 1000000000000"), std::string("\xff\xfe"), std::string(100000, '[')}) {
    RunRecord run = Run("R");
    run.config_yaml = yaml;
    EXPECT_EQ(Admit(run).code(), Code::kInvalidArgument) << yaml.substr(0, 40);
  }
  EXPECT_TRUE(fs::is_empty(folder_ / "runs"));
}

TEST_F(RunAdmissionTest, TheTrainersKeysAndNetworkAreNotTheSubmitters) {
  const auto judged = [&](const std::string& endpoint, const std::string& variable, bool with_roots = true) {
    return AdmitConfig(
        [&](RunConfig& config) {
          config.monitor.kind = "screening";
          config.monitor.by = "judge";
          config.monitor.judge.model = "m";
          config.monitor.judge.endpoint = endpoint;
          config.monitor.judge.api_key_env = variable;
        },
        with_roots);
  };
  EXPECT_EQ(judged("https://judge.example/v1", "JUDGE_KEY"), absl::OkStatus());
  EXPECT_EQ(judged("https://judge.example/v1", ""), absl::OkStatus());
  for (const char* variable : {"AWS_SECRET_ACCESS_KEY", "JUDGE_KEY2", "judge_key"}) {
    const absl::Status status = judged("https://judge.example/v1", variable);
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << variable;
    EXPECT_THAT(std::string(status.message()), HasSubstr("monitor.judge.api_key_env: got "));
  }
  for (const char* endpoint : {"https://evil.example/v1", "http://judge.example/v1", "http://127.0.0.1:1/v1",
                               "http://169.254.169.254/v1", "https://judge.example/v1/../x"}) {
    const absl::Status status = judged(endpoint, "");
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << endpoint;
    EXPECT_THAT(std::string(status.message()), HasSubstr("monitor.judge.endpoint: ")) << endpoint;
  }
  EXPECT_EQ(judged("https://other.example/v1", "ANY", /*with_roots=*/false), absl::OkStatus());
}

TEST_F(RunAdmissionTest, ADirectoryIsAFolderOfRunsAndTheRunsOwn) {
  fs::create_symlink(folder_ / "out", folder_ / "runs/away");
  fs::create_directories(folder_ / "runs/R2");
  fs::create_symlink(folder_ / "runs/R2", folder_ / "in/to_runs");
  EXPECT_EQ(Admit(Run("R", (folder_ / "runs/elsewhere").string())), absl::OkStatus());
  EXPECT_EQ(Admit(Run("R2", (folder_ / "in/to_runs").string())), absl::OkStatus()) << "the link leads to runs";
  for (const char* path : {"out/x", "in/x", "runs", "runs/..", "runs/../x", "runs/away", "runs/away/x", "runs/a/b",
                           "runs/elsewhere/logs", "runs2", ""}) {
    const absl::Status status = Admit(Run("R3", (folder_ / path).string()));
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << path << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("directory: got ")) << path;
  }
  EXPECT_FALSE(fs::exists(folder_ / "out/x"));
  RunRecord other = Run("R4", (folder_ / "runs/elsewhere").string());
  other.config_yaml += "# of another\n";
  EXPECT_EQ(Admit(other).code(), Code::kAlreadyExists);
}

TEST_F(RunAdmissionTest, WithoutRootsNoFolderThatWasSomethingElseBecomesARuns) {
  for (const std::string& path : {std::string("/etc"), std::string("/"), (folder_ / "out").string()}) {
    const absl::Status status = Admit(Run("R", path), /*with_roots=*/false);
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << path << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("not empty and no run's"));
  }
  EXPECT_FALSE(fs::exists(folder_ / "out/logs"));
  EXPECT_EQ(Admit(Run("R", (folder_ / "new/R").string()), /*with_roots=*/false), absl::OkStatus());
}

TEST_F(RunAdmissionTest, TheConfigThatADirectoryHoldsIsNoLinkOut) {
  fs::create_directories(folder_ / "runs/R");
  fs::create_symlink(folder_ / "out/nothing", folder_ / "runs/R/config.yaml");
  EXPECT_EQ(Admit(Run("R")).code(), Code::kAlreadyExists);
  EXPECT_FALSE(fs::exists(folder_ / "out/nothing"));
}

TEST_F(RunAdmissionTest, AJobsProblemsLieBelowARoot) {
  const auto admit = [&](const std::string& params) { return Admission().Admit(JobRecord{.params_json = params}); };
  const auto naming = [&](const std::string& path) {
    return absl::StrCat("{\"problems\": \"", (folder_ / path).string(), "\"}");
  };
  EXPECT_EQ(admit(""), absl::OkStatus());
  EXPECT_EQ(admit("{\"samples\": 3}"), absl::OkStatus());
  EXPECT_EQ(admit(naming("in/test.jsonl")), absl::OkStatus());
  for (const char* path :
       {"out/test.jsonl", "in/away/test.jsonl", "in/../out/test.jsonl", "in/away/../out/test.jsonl"}) {
    const absl::Status status = admit(naming(path));
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << path;
    EXPECT_THAT(std::string(status.message()), HasSubstr("problems: got "));
  }
  EXPECT_EQ(admit("{\"problems\": \"../relative\"}").code(), Code::kInvalidArgument);
  EXPECT_EQ(admit("{\"problems\": \"/etc/\\u0000\"}").code(), Code::kInvalidArgument);
}

struct LimitCase {
  const char* name;
  std::function<void(RunConfig&)> change;
  std::string want;  // "" = it is taken
};
class RunLimitsTest : public ::testing::TestWithParam<LimitCase> {};
TEST_P(RunLimitsTest, Holds) {
  RunConfig config;
  GetParam().change(config);
  const absl::Status status = CheckRunLimits(config);
  if (GetParam().want.empty()) {
    EXPECT_EQ(status, absl::OkStatus());
  } else {
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().want));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n"))) << "one problem";
  }
}
constexpr int kMax = std::numeric_limits<int>::max();
INSTANTIATE_TEST_SUITE_P(
    Cases, RunLimitsTest,
    ::testing::ValuesIn(std::vector<LimitCase>{
        {"Defaults", [](RunConfig&) {}, ""},
        {"LargestBatch", [](RunConfig& c) { c.rollout.prompts_per_step = 4096; }, ""},
        {"Steps", [](RunConfig& c) { c.steps = kMax; }, "steps: got 2147483647, expected at most 1000000"},
        {"SystemPrompt", [](RunConfig& c) { c.system_prompt.assign(65537, 'x'); }, "system_prompt: bytes: got 65537"},
        {"PromptsTimesGroup",
         [](RunConfig& c) {
           c.rollout.prompts_per_step = 4096;
           c.rollout.group_size = 1024;
         },
         "rollout.prompts_per_step * rollout.group_size * rollout.max_completion_tokens: got 6442450944"},
        {"Seeds", [](RunConfig& c) { c.evaluation.random_half_seeds = kMax; }, "evaluation.random_half_seeds"},
        {"Samples", [](RunConfig& c) { c.evaluation.samples = kMax; }, "evaluation.samples"},
        {"MaxProblemsIsBoundByTheFile", [](RunConfig& c) { c.evaluation.max_problems = kMax; }, ""},
        {"Keep", [](RunConfig& c) { c.checkpoint.keep = kMax; }, "checkpoint.keep"},
        {"JudgeTimeout", [](RunConfig& c) { c.monitor.judge.timeout_s = 1e300; }, "monitor.judge.timeout_s"},
        {"JudgeTokens", [](RunConfig& c) { c.monitor.judge.max_tokens = kMax; }, "monitor.judge.max_tokens"}}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
