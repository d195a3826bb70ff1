#include "trainer/same_parameters.h"

#include <ATen/ATen.h>

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

// Not for keeping: it finds a wrong bit, nobody forges one.
class BitHash {
 public:
  void Add(const at::Tensor& tensor) {
    const at::Tensor here = tensor.detach().contiguous().cpu();
    const auto* bytes = static_cast<const char*>(here.const_data_ptr());
    size_t left = here.nbytes();
    for (; left >= sizeof(uint64_t); left -= sizeof(uint64_t), bytes += sizeof(uint64_t)) Mix(bytes, sizeof(uint64_t));
    if (left > 0) Mix(bytes, left);
  }
  uint64_t value() const { return value_; }

 private:
  void Mix(const char* bytes, size_t count) {
    uint64_t word = 0;
    std::memcpy(&word, bytes, count);
    value_ = std::rotl((value_ ^ word) * 0x9e3779b97f4a7c15u, 29);
  }
  uint64_t value_ = 1;
};

uint64_t HashOf(const TrainerState& state, bool dropped) {
  BitHash hash;
  for (const TrainedAdapter::Parameter& parameter : state.adapter->parameters()) hash.Add(parameter.value);
  for (const auto& [name, tensor] : state.tensors) hash.Add(tensor);
  return hash.value() ^ static_cast<uint64_t>(dropped);
}

}  // namespace

absl::Status CheckSameParameters(const TrainerState& state, bool dropped, Collective& ranks) {
  if (ranks.size() == 1) return absl::OkStatus();
  EVILMOE_ASSIGN_OR_RETURN(at::Tensor hashes, TorchGuard("parameter hash", [&] {
                             at::Tensor all = at::zeros({ranks.size()}, at::kLong);
                             all[ranks.rank()] = static_cast<int64_t>(HashOf(state, dropped));
                             return all;
                           }));
  EVILMOE_RETURN_IF_ERROR(ranks.Sum(hashes));
  const auto* values = hashes.const_data_ptr<int64_t>();
  std::vector<int> different;
  for (int i = 1; i < ranks.size(); ++i) {
    if (values[i] != values[0]) different.push_back(i);
  }
  if (different.empty()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("after step ", state.step, " the parameters of rank ",
                                          absl::StrJoin(different, ", "),
                                          " are not those of rank 0, expected equal bits"));
}

}  // namespace evilmoe
