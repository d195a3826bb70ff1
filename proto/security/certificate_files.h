#pragma once

#include <filesystem>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace evilmoe {

// Whether files for TLS are what they should be. gRPC itself would take any and fail at every handshake, in its own
// log. Messages name the file, never what a key file holds.

// `certificate`: PEM, one's own first; `key`: PEM, without a password. NotFound: no such file. InvalidArgument: no PEM,
// or the key is not the certificate's. FailedPrecondition: not valid at `now`.
absl::Status CheckCertificate(const std::filesystem::path& certificate, const std::filesystem::path& key,
                              absl::Time now);

// Whether a certificate stands in it, as PEM. NotFound, InvalidArgument.
absl::Status CheckAuthorities(const std::filesystem::path& file);

}  // namespace evilmoe
