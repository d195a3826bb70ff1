#include "services/page/page_tls.h"

#include <openssl/ssl.h>

#include "common/status_macros.h"
#include "proto/security/certificate_files.h"

namespace evilmoe {
namespace {

// 1: go on with the handshake.
int LoadFiles(SSL* connection, void* security) {
  const auto& files = *static_cast<const ServerSecurity*>(security);
  const bool loaded = SSL_use_certificate_chain_file(connection, files.certificate.c_str()) == 1 &&
                      SSL_use_PrivateKey_file(connection, files.key.c_str(), SSL_FILETYPE_PEM) == 1;
  return loaded ? 1 : 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PageTls>> PageTls::Create(const ServerSecurity& security, absl::Time now) {
  EVILMOE_RETURN_IF_ERROR(CheckCertificate(security.certificate, security.key, now));
  if (!security.client_ca.empty()) EVILMOE_RETURN_IF_ERROR(CheckAuthorities(security.client_ca));
  std::unique_ptr<PageTls> tls(new PageTls(security));
  if (!tls->SetUp()) return absl::InternalError("page: OpenSSL gives no context");
  return tls;
}

PageTls::~PageTls() { SSL_CTX_free(static_cast<SSL_CTX*>(context_)); }

bool PageTls::SetUp() {
  SSL_CTX* const tls = SSL_CTX_new(TLS_server_method());
  context_ = tls;
  if (tls == nullptr) return false;
  SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
  SSL_CTX_set_cert_cb(tls, &LoadFiles, const_cast<ServerSecurity*>(&security_));
  if (security_.client_ca.empty()) return true;
  SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return SSL_CTX_load_verify_locations(tls, security_.client_ca.c_str(), nullptr) == 1;
}

}  // namespace evilmoe
