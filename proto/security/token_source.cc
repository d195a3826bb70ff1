#include "proto/security/token_source.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/security/token_table.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxFileBytes = 4096;

bool IsToken(std::string_view text) {
  if (text.empty() || text.size() > TokenTable::kMaxTokenBytes) return false;
  for (const char c : text) {
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

}  // namespace

TokenSource::TokenSource(const std::filesystem::path& path, const Clock& clock) : file_(path, kMaxFileBytes, clock) {}

absl::StatusOr<std::unique_ptr<TokenSource>> TokenSource::Open(const std::filesystem::path& path, const Clock& clock) {
  std::unique_ptr<TokenSource> source(new TokenSource(path, clock));
  const MutexLock lock(source->mu_);
  EVILMOE_RETURN_IF_ERROR(Annotate(source->UpdateLocked(), "token"));
  return source;
}

std::string TokenSource::Token() {
  const MutexLock lock(mu_);
  UpdateLocked().IgnoreError();
  return token_;
}

absl::Status TokenSource::UpdateLocked() {
  const std::optional<absl::StatusOr<std::string>> text = file_.Poll();
  if (!text) return absl::OkStatus();
  EVILMOE_RETURN_IF_ERROR(text->status());
  const std::string token(absl::StripAsciiWhitespace(**text));
  if (!IsToken(token)) {
    return absl::InvalidArgumentError(absl::StrCat(file_.path().string(),
                                                   ": what it holds is no token, expected 1 to 512 characters on one "
                                                   "line, without spaces"));
  }
  token_ = token;
  return absl::OkStatus();
}

}  // namespace evilmoe
