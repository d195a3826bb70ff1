#include "common/running_hash.h"

#include <openssl/evp.h>

#include <array>

#include "absl/strings/escaping.h"
#include "common/status_macros.h"

namespace evilmoe {

class RunningSha256::State {
 public:
  // Only memory can be lacking here, and then nothing else would work either.
  State() : context_(EVP_MD_CTX_new()) {
    EVILMOE_CHECK(context_ != nullptr);
    EVILMOE_CHECK(EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1);
  }
  ~State() { EVP_MD_CTX_free(context_); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void Add(const void* data, size_t size) { EVILMOE_CHECK(EVP_DigestUpdate(context_, data, size) == 1); }

  std::string Finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned int size = 0;
    EVILMOE_CHECK(EVP_DigestFinal_ex(context_, digest.data(), &size) == 1);
    return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
  }

 private:
  EVP_MD_CTX* const context_;
};

RunningSha256::RunningSha256() : state_(std::make_unique<State>()) {}
RunningSha256::~RunningSha256() = default;

void RunningSha256::Add(std::string_view bytes) { state_->Add(bytes.data(), bytes.size()); }
void RunningSha256::Add(std::span<const std::byte> bytes) { state_->Add(bytes.data(), bytes.size()); }
std::string RunningSha256::Finish() { return state_->Finish(); }

}  // namespace evilmoe
