#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace evilmoe {

struct CertificateInfo {
  std::string subject;  // of the first one, "CN = evilmoe"
  absl::Time not_before = absl::InfiniteFuture();
  absl::Time not_after = absl::InfiniteFuture();  // the earliest end of all that the file holds
};

// The X.509 certificates of a PEM file. InvalidArgument: it holds none, or one that is broken.
absl::StatusOr<CertificateInfo> ReadCertificates(std::string_view pem);

}  // namespace evilmoe
