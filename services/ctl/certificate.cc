#include "services/ctl/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "common/status_macros.h"

namespace evilmoe {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm tm = {};
  if (ASN1_TIME_to_tm(time, &tm) != 1) return absl::InfinitePast();
  return absl::FromTM(tm, absl::UTCTimeZone());
}

std::string SubjectOf(const X509* certificate) {
  const Bio out(BIO_new(BIO_s_mem()), &BIO_free);
  EVILMOE_CHECK(out != nullptr);
  X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(out.get(), &bytes);
  return std::string(bytes, static_cast<size_t>(std::max(0L, size)));
}

}  // namespace

absl::StatusOr<CertificateInfo> ReadCertificates(std::string_view pem) {
  const Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  EVILMOE_CHECK(in != nullptr);
  CertificateInfo info;
  int count = 0;
  while (true) {
    const Certificate one(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr), &X509_free);
    if (one == nullptr) break;
    if (count++ == 0) {
      info.subject = SubjectOf(one.get());
      info.not_before = TimeOf(X509_get0_notBefore(one.get()));
    }
    info.not_after = std::min(info.not_after, TimeOf(X509_get0_notAfter(one.get())));
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (count == 0 || !at_end) {
    return absl::InvalidArgumentError("no certificate in PEM, or a broken one, expected -----BEGIN CERTIFICATE-----");
  }
  return info;
}

}  // namespace evilmoe
