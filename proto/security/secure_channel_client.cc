#include "proto/security/secure_channel_client.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/support/client_interceptor.h>

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/status_macros.h"
#include "proto/grpc_library.h"
#include "proto/security/token_source.h"

namespace evilmoe {
namespace {

namespace experimental = grpc::experimental;

constexpr unsigned kReloadSeconds = 10;

// Puts the token on one call. As a header of ours and no call credentials: those gRPC refuses on a plain channel.
class ShowToken final : public experimental::Interceptor {
 public:
  explicit ShowToken(TokenSource& source) : source_(source) {}
  void Intercept(experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(experimental::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->insert({"authorization", absl::StrCat("Bearer ", source_.Token())});
    }
    methods->Proceed();
  }

 private:
  TokenSource& source_;
};

// Lives as long as its channel.
class ShowTokens final : public experimental::ClientInterceptorFactoryInterface {
 public:
  static absl::StatusOr<std::unique_ptr<ShowTokens>> Create(const std::filesystem::path& file) {
    auto factory = std::make_unique<ShowTokens>();
    EVILMOE_ASSIGN_OR_RETURN(factory->source_, TokenSource::Open(file, factory->clock_));
    return factory;
  }
  experimental::Interceptor* CreateClientInterceptor(experimental::ClientRpcInfo*) override {
    return new ShowToken(*source_);  // gRPC owns it
  }

 private:
  const RealClock clock_;
  std::unique_ptr<TokenSource> source_;
};

std::shared_ptr<grpc::ChannelCredentials> TlsOf(const ChannelSecurity& security) {
  experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<experimental::FileWatcherCertificateProvider>(
      security.key.string(), security.certificate.string(), security.ca.string(), kReloadSeconds));
  options.watch_root_certs();
  if (!security.certificate.empty()) options.watch_identity_key_cert_pairs();
  return experimental::TlsCredentials(options);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address, const ChannelSecurity& security,
                                                           grpc::ChannelArguments arguments) {
  EVILMOE_RETURN_IF_ERROR(CheckChannelSecurity(address, security));
  KeepGrpcLibrary();
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (security.ca.empty() || absl::StartsWith(address, "unix:")) {
    credentials = grpc::InsecureChannelCredentials();
    // A proxy from the environment would be one more reader of what is plain.
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  } else {
    EVILMOE_RETURN_IF_ERROR(CheckChannelFiles(security, RealClock().Now()));
    credentials = TlsOf(security);
    if (!security.server_name.empty()) arguments.SetString(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, security.server_name);
  }
  std::vector<std::unique_ptr<experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (!security.token.empty()) {
    EVILMOE_ASSIGN_OR_RETURN(auto tokens, ShowTokens::Create(security.token));
    interceptors.push_back(std::move(tokens));
  }
  return experimental::CreateCustomChannelWithInterceptors(address, credentials, arguments, std::move(interceptors));
}

absl::Status ExplainConnection(const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return status;
  const absl::string_view text = status.message();
  const char* advice = "";
  if (absl::StrContains(text, "wrong version number")) {
    advice = "the server does not speak TLS; leave security.ca away, or give the server a certificate";
  } else if (absl::StrContains(text, "certificate verify failed")) {
    advice = "the server's certificate is not of security.ca, or has expired";
  } else if (absl::StrContains(text, "Hostname Verification Check failed")) {
    advice = "the server's certificate does not name the host that was dialled";
  } else if (absl::StrContains(text, "failed to connect") && absl::StrContains(text, "Socket closed")) {
    advice = "the server ended the connection; it may want TLS (security.ca), or another client certificate";
  } else {
    return status;
  }
  return absl::UnavailableError(absl::StrCat(text, " (", advice, ")"));
}

}  // namespace evilmoe
