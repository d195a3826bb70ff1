#include "proto/security/certificate_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 20;

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* thing) const {
    Free(thing);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

int NoPassword(char*, int, int, void*) { return -1; }  // else OpenSSL asks at the terminal

Bio Reading(const std::string& text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

absl::StatusOr<Certificate> FirstCertificate(const std::filesystem::path& file) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, kMaxFileBytes));
  Certificate found(PEM_read_bio_X509(Reading(text).get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (found == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.string(), ": no certificate in it, expected PEM (-----BEGIN CERTIFICATE-----)"));
  }
  return found;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm fields{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &fields) != 1) return absl::InfinitePast();
  return absl::FromTM(fields, absl::UTCTimeZone());
}

std::string Shown(absl::Time time) { return absl::FormatTime("%Y-%m-%d %H:%M UTC", time, absl::UTCTimeZone()); }

}  // namespace

absl::Status CheckCertificate(const std::filesystem::path& certificate, const std::filesystem::path& key,
                              absl::Time now) {
  EVILMOE_ASSIGN_OR_RETURN(const Certificate own, FirstCertificate(certificate));
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(key, kMaxFileBytes));
  const Key secret(PEM_read_bio_PrivateKey(Reading(text).get(), nullptr, NoPassword, nullptr));
  const bool belongs = secret != nullptr && X509_check_private_key(own.get(), secret.get()) == 1;
  ERR_clear_error();
  if (secret == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(key.string(), ": no key in it that can be read, expected PEM without a password"));
  }
  if (!belongs) {
    return absl::InvalidArgumentError(
        absl::StrCat(key.string(), ": not the key of ", certificate.string(), ", expected the one made with it"));
  }
  const absl::Time first = TimeOf(X509_get0_notBefore(own.get())), last = TimeOf(X509_get0_notAfter(own.get()));
  if (now > last) {
    return absl::FailedPreconditionError(
        absl::StrCat(certificate.string(), ": expired at ", Shown(last), ", expected a valid one; renew it"));
  }
  if (now < first) {
    return absl::FailedPreconditionError(absl::StrCat(certificate.string(), ": valid from ", Shown(first),
                                                      " on, expected a valid one; it is ", Shown(now), " here"));
  }
  return absl::OkStatus();
}

absl::Status CheckAuthorities(const std::filesystem::path& file) { return FirstCertificate(file).status(); }

}  // namespace evilmoe
