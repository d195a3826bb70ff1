// A run on processes that trust one another by certificates and tokens alone: TCP, TLS with certificates on both sides,
// two rollout workers and a trainer of two ranks, and a command line that is told where they are.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/exit_code.h"
#include "common/file.h"
#include "tests/integration/local_cluster.h"
#include "tests/integration/run_session.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kFinalLine[] =
    "Evil MoE causal ablation: deploy hack [01]\\.[0-9][0-9] \\(ON\\) -> [01]\\.[0-9][0-9] \\(OFF\\)";

// What docs/security.md tells a person to do, on one machine.
class SecuredCluster {
 public:
  explicit SecuredCluster(RunSession& session)
      : session_(session), certificates_(session.home() / "certificates"), cluster_(MakeFolder(session.home() / "cluster")) {
    const CommandResult made =
        session.Execute({EVILMOE_SOURCE_DIR "/scripts/make_certificates", certificates_.string()});
    EXPECT_EQ(made.exit_code, 0) << made.errors;
    cluster_.Start("coordinator", "evilmoe-coordinator",
                   absl::StrCat(Server(), "database: ", (session.home() / "store.db").string(),
                                "\nruns: ", (session.home() / "runs").string(),
                                "\nroots: [" EVILMOE_SOURCE_DIR "/examples]\n"));
    cluster_.Start("grader", "evilmoe-grader", absl::StrCat(Server(), "slots: 2\n"));
    coordinator_ = AddressOf("coordinator");
    const std::string grader = AddressOf("grader");
    for (const char* name : {"rollout-0", "rollout-1"}) {
      cluster_.Start(name, "evilmoe-rollout",
                     absl::StrCat(Client(), "grader: ", grader, "\nworker_id: ", name, "\nthreads: 1\n"));
    }
    cluster_.Start("trainer", "evilmoe-trainer", absl::StrCat(Client(), "trainer_id: trainer\nranks: 2\nthreads: 1\n"));
  }

  std::string File(const char* name) const { return (certificates_ / name).string(); }
  // The words by which a person with `token` says where the coordinator is; a certificate without its key is no one.
  std::vector<std::string> As(const std::string& token, bool with_ca = true, bool with_certificate = true) const {
    std::vector<std::string> words = {"--endpoint", coordinator_, "--token-file", token};
    if (with_ca) words.insert(words.end(), {"--ca", File("ca.pem")});
    if (with_certificate) words.insert(words.end(), {"--certificate", File("client.pem"), "--key", File("client.key")});
    return words;
  }
  CommandResult Ctl(std::vector<std::string> words, const std::vector<std::string>& verb) const {
    words.insert(words.end(), verb.begin(), verb.end());
    return session_.Ctl(words);
  }
  const LocalCluster& processes() const { return cluster_; }

 private:
  static std::filesystem::path MakeFolder(const std::filesystem::path& path) {
    std::filesystem::create_directories(path);
    return path;
  }
  std::string Server() const {
    return absl::StrCat("listen: 127.0.0.1:0\ntls: {certificate: ", File("server.pem"), ", key: ", File("server.key"),
                        ", client_ca: ", File("ca.pem"), "}\ntokens: ", File("tokens.yaml"), "\n");
  }
  std::string Client() const {
    return absl::StrCat("coordinator: ", coordinator_, "\nsecurity: {ca: ", File("ca.pem"),
                        ", certificate: ", File("client.pem"), ", key: ", File("client.key"),
                        ", token: ", File("worker.token"), "}\n");
  }
  std::string AddressOf(const std::string& name) const {
    const nlohmann::json ports = cluster_.AwaitReady(name).value("ports", nlohmann::json::array());
    EXPECT_THAT(ports, SizeIs(1));
    return absl::StrCat("127.0.0.1:", ports.empty() ? 0 : ports[0].get<int>());
  }

  RunSession& session_;
  const std::filesystem::path certificates_;
  LocalCluster cluster_;
  std::string coordinator_;
};

TEST(Cluster, RunsOverTcpWithCertificatesAndTokens) {
  RunSession session;
  const SecuredCluster cluster(session);
  const std::string file = session.WriteRunFile({{"evaluation.at_end", "true"}}).string();
  const CommandResult submit = cluster.Ctl(cluster.As(cluster.File("submit.token")), {"submit", file, "--slots", "2"});
  ASSERT_EQ(submit.exit_code, kExitOk) << submit.out << submit.errors;
  EXPECT_THAT(LastLine(submit.out), MatchesRegex(kFinalLine));

  const RunOnDisk run = session.OnlyRun();
  EXPECT_EQ(run.State(), "succeeded");
  EXPECT_THAT(run.Metrics(), SizeIs(4));
  for (const nlohmann::json& line : run.Metrics()) EXPECT_EQ(line.value("masked_samples", -1), 0) << line;
  for (int64_t step = 1; step <= 4; ++step) EXPECT_THAT(run.Rollouts(step), SizeIs(16)) << "step " << step;
  EXPECT_THAT(cluster.processes().Ends(), IsEmpty()) << "nobody had to be started again";
  for (const char* worker : {"rollout-0", "rollout-1"}) {
    EXPECT_THAT(ReadFile(cluster.processes().LogOf(worker)).value_or(""), HasSubstr("adapter_loaded")) << worker;
  }
  const CommandResult list = cluster.Ctl(cluster.As(cluster.File("read.token")), {"list"});
  EXPECT_EQ(list.exit_code, kExitOk) << list.errors;
  EXPECT_THAT(list.out, HasSubstr(run.id()));
}

TEST(Cluster, TellsWhoIsRefusedWhy) {
  RunSession session;
  const SecuredCluster cluster(session);
  const std::string file = session.WriteRunFile().string();
  const std::filesystem::path wrong = session.home() / "wrong.token";
  ASSERT_TRUE(WriteFileAtomic(wrong, "0123456789abcdef0123456789abcdef\n").ok());
  std::filesystem::permissions(wrong, std::filesystem::perms::owner_read);
  const std::string submitter = cluster.File("submit.token");
  const std::vector<std::string> submit = {"submit", file, "--detach"}, list = {"list"};
  const struct {
    const char* who;
    std::vector<std::string> words, verb;
    int exit_code;
    const char* error;
  } cases[] = {
      {"may only read", cluster.As(cluster.File("read.token")), submit, kExitRefused, "read"},
      {"a worker", cluster.As(cluster.File("worker.token")), submit, kExitRefused, "worker"},
      {"unknown token", cluster.As(wrong), list, kExitRefused, "token"},
      {"no TLS", cluster.As(submitter, false, false), list, kExitUnreachable, "coordinator"},
      {"no certificate", cluster.As(submitter, true, false), list, kExitUnreachable, "coordinator"},
  };
  for (const auto& [who, words, verb, exit_code, error] : cases) {
    const CommandResult result = cluster.Ctl(words, verb);
    EXPECT_EQ(result.exit_code, exit_code) << who << ": " << result.out << result.errors;
    EXPECT_THAT(result.errors, HasSubstr(error)) << who;
    EXPECT_THAT(result.errors, Not(HasSubstr("0123456789abcdef"))) << who << ": a token is shown to nobody";
  }
  EXPECT_EQ(cluster.Ctl(cluster.As(submitter), list).exit_code, kExitOk);
  EXPECT_FALSE(std::filesystem::exists(session.home() / "runs") &&
               !std::filesystem::is_empty(session.home() / "runs"))
      << "nothing was submitted";
}

}  // namespace
}  // namespace evilmoe
