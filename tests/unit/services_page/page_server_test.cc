#include <gmock/gmock.h>
#include <openssl/ssl.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/unit/proto_security/certificates_kit.h"
#include "tests/unit/services_page/page_kit.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PageServerTest : public PageTest {
 protected:
  Headers Bearing(const std::string& role) {
    return {{"Authorization", absl::StrCat("Bearer ", std::string(absl::StripAsciiWhitespace(ReadFile(folder_ / (role + ".token")).value())))}};
  }
  ScratchFolder folder_;
};

TEST_F(PageServerTest, ServesThePageUnderAStrictPolicy) {
  Start();
  const HttpAnswer page = Get("/");
  EXPECT_EQ(page.code, 200);
  EXPECT_THAT(page.body, HasSubstr("<!doctype html>"));
  EXPECT_THAT(page.body, Not(HasSubstr("http://")));
  const std::string policy = page.headers.at("content-security-policy");
  for (const char* rule : {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "connect-src 'self'",
                           "require-trusted-types-for 'script'"}) {
    EXPECT_THAT(policy, HasSubstr(rule));
  }
  EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
  EXPECT_EQ(Get("/assets/page/main.js").headers.at("content-type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(Ask(server_->port(), "HEAD", "/").body, "");
}

TEST_F(PageServerTest, AnAssetIsSentOnce) {
  Start();
  const HttpAnswer first = Get("/assets/base.css");
  const HttpAnswer again = Get("/assets/base.css", {{"If-None-Match", first.headers.at("etag")}});
  EXPECT_EQ(again.code, 304);
  EXPECT_EQ(again.body, "");
}

TEST_F(PageServerTest, WithoutAnAddressThereIsNone) {
  const auto none = PageServer::Start({}, source_, clock_, logger_);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ((*none)->port(), 0);
}

TEST_F(PageServerTest, ATakenAddressIsAnError) {
  Start();
  const auto second = PageServer::Start({.listen = absl::StrCat("127.0.0.1:", server_->port())}, source_, clock_, logger_);
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
}

TEST_F(PageServerTest, AnswersWhatIsNoRequest) {
  Start();
  EXPECT_EQ(AskRaw(server_->port(), "what is this\r\n\r\n").code, 400);
  EXPECT_EQ(Get("/").code, 200);
}

TEST_F(PageServerTest, AStreamTellsWhatHappensAndIsResumed) {
  Start();
  source_.Happen("one", "note", {{"n", 1}});
  HttpStream stream(server_->port(), "/api/v1/stream?run=one");
  EXPECT_THAT(stream.Await("\"n\":1"), HasSubstr("id: 1\nevent: event\ndata: {\"seq\":1"));
  EXPECT_THAT(stream.Await("event: run\n"), HasSubstr("text/event-stream"));
  source_.Happen("one", "note", {{"n", 2}});
  EXPECT_THAT(stream.Await("\"n\":2"), HasSubstr("id: 2\n"));
  HttpStream resumed(server_->port(), "/api/v1/stream?run=one", {{"Last-Event-ID", "1"}});
  const std::string rest = resumed.Await("\"n\":2");
  EXPECT_THAT(rest, HasSubstr("id: 2\n"));
  EXPECT_THAT(rest, Not(HasSubstr("id: 1\n")));
}

TEST_F(PageServerTest, AStreamOfAllRunsTellsWhichChanged) {
  Start();
  HttpStream stream(server_->port(), "/api/v1/stream");
  EXPECT_THAT(stream.Await("\"run_id\":\"one\""), HasSubstr("event: runs"));
  source_.Put(MakeRun("two"));
  EXPECT_NE(stream.Await("\"run_id\":\"two\""), "");
}

TEST_F(PageServerTest, StreamsAreBounded) {
  Start({.max_streams = 1});
  HttpStream first(server_->port(), "/api/v1/stream?reader=a");
  ASSERT_NE(first.Await("event: runs"), "");
  const HttpAnswer refused = Get("/api/v1/stream?reader=b");
  EXPECT_EQ(refused.code, 429);
  // The same reader went on to another run: its earlier stream ends.
  HttpStream second(server_->port(), "/api/v1/stream?reader=a&run=one");
  ASSERT_NE(second.Await("event: runs"), "");
  EXPECT_TRUE(first.Ends());
}

TEST_F(PageServerTest, AStreamEndsWithItsServerAndWithItsSource) {
  Start();
  HttpStream one(server_->port(), "/api/v1/stream?run=one");
  ASSERT_NE(one.Await("event: runs"), "");
  source_.Break(absl::UnavailableError("the coordinator is stopping"));
  EXPECT_NE(one.Await("event: problem"), "");
  EXPECT_TRUE(one.Ends());
  server_.reset();
}

TEST_F(PageServerTest, ReadingNeedsATokenWhereThereAreSome) {
  MakeCertificates(folder_.path());
  ASSERT_NO_FATAL_FAILURE(Start({.security = {.tokens = folder_ / "tokens.yaml"}}));
  EXPECT_EQ(Get("/").code, 200);
  const HttpAnswer nobody = Get("/api/v1/runs");
  EXPECT_EQ(nobody.code, 401);
  EXPECT_EQ(nobody.headers.at("www-authenticate"), "Bearer");
  EXPECT_EQ(Get("/api/v1/stream").code, 401);
  EXPECT_EQ(Get("/api/v1/runs", {{"Authorization", "Bearer wrong"}}).code, 401);
  EXPECT_EQ(Get("/api/v1/runs", Bearing("worker")).code, 403);
  EXPECT_EQ(Get("/api/v1/runs", Bearing("read")).code, 200);
  EXPECT_EQ(Get("/api/v1/session", Bearing("read")).Json()["may_act"], false);
  EXPECT_EQ(Get("/api/v1/session", Bearing("submit")).Json()["may_act"], true);
  for (const auto& [role, code] : std::map<std::string, int>{{"read", 403}, {"submit", 200}, {"admin", 200}}) {
    Headers headers = Bearing(role);
    headers["X-Evilmoe"] = "1";
    headers["Content-Length"] = "0";
    EXPECT_EQ(Ask(server_->port(), "POST", "/api/v1/runs/one/pause", headers).code, code) << role;
  }
}

TEST_F(PageServerTest, BeyondLoopbackWithoutTokensItOnlyShows) {
  Start({.listen = "0.0.0.0:0", .security = {.insecure = true}});
  EXPECT_EQ(Get("/api/v1/runs").code, 200);
  EXPECT_EQ(Get("/api/v1/session").Json()["may_act"], false);
  EXPECT_EQ(Ask(server_->port(), "POST", "/api/v1/runs/one/pause", {{"X-Evilmoe", "1"}, {"Content-Length", "0"}}).code, 403);
}

// One request over TLS; "" where the handshake fails.
std::string AskOverTls(int port, const std::string& ca) {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_load_verify_locations(context, ca.c_str(), nullptr);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  BIO* const bio = BIO_new_ssl_connect(context);
  BIO_set_conn_hostname(bio, absl::StrCat("127.0.0.1:", port).c_str());
  std::string answer;
  if (BIO_do_connect(bio) == 1) {
    BIO_puts(bio, "GET /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    char buffer[4096];
    for (int n; (n = BIO_read(bio, buffer, sizeof buffer)) > 0;) answer.append(buffer, static_cast<size_t>(n));
  }
  BIO_free_all(bio);
  SSL_CTX_free(context);
  return answer;
}

TEST_F(PageServerTest, SpeaksTls) {
  MakeCertificates(folder_.path());
  ASSERT_NO_FATAL_FAILURE(Start({.listen = "0.0.0.0:0", .security = {.certificate = folder_ / "server.pem", .key = folder_ / "server.key"}}));
  EXPECT_THAT(AskOverTls(server_->port(), (folder_ / "ca.pem").string()), HasSubstr("HTTP/1.1 200"));
  EXPECT_EQ(Get("/api/v1/runs").code, 0);  // plain
}

TEST_F(PageServerTest, WithAClientCaWhoShowsNoCertificateIsRefused) {
  MakeCertificates(folder_.path());
  ASSERT_NO_FATAL_FAILURE(Start({.listen = "0.0.0.0:0", .security = {.certificate = folder_ / "server.pem", .key = folder_ / "server.key", .client_ca = folder_ / "ca.pem"}}));
  EXPECT_EQ(AskOverTls(server_->port(), (folder_ / "ca.pem").string()), "");
}

TEST_F(PageServerTest, OnLoopbackItIsPlain) {
  MakeCertificates(folder_.path());
  ASSERT_NO_FATAL_FAILURE(Start({.security = {.certificate = folder_ / "server.pem", .key = folder_ / "server.key"}}));
  EXPECT_EQ(Get("/api/v1/runs").code, 200);
}

TEST_F(PageServerTest, ACertificateThatIsNotThereIsAnError) {
  const auto server = PageServer::Start(
      {.listen = "0.0.0.0:0", .security = {.certificate = folder_ / "none.pem", .key = folder_ / "none.key"}}, source_,
      clock_, logger_);
  EXPECT_TRUE(absl::IsNotFound(server.status()));
}

}  // namespace
}  // namespace evilmoe
