#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "common/logger.h"
#include "services/page/page_server.h"
#include "tests/unit/services_page/fake_run_source.h"
#include "tests/unit/services_page/http_kit.h"
#include "tests/unit/services_page/run_kit.h"

namespace evilmoe {

// A page over a fake source, on a free port, with the run "one".
class PageTest : public ::testing::Test {
 protected:
  void Start(PageServerOptions options = {}) {
    source_.Put(MakeRun("one"));
    if (options.listen.empty()) options.listen = "127.0.0.1:0";
    absl::StatusOr<std::unique_ptr<PageServer>> server = PageServer::Start(options, source_, clock_, logger_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_NE(server_->port(), 0);
  }
  HttpAnswer Get(const std::string& target, const Headers& headers = {}) {
    return Ask(server_->port(), "GET", target, headers);
  }

  const RealClock clock_;
  Logger logger_ = Logger::Open("/dev/null", "test", clock_).value();
  FakeRunSource source_;
  std::unique_ptr<PageServer> server_;
};

}  // namespace evilmoe
