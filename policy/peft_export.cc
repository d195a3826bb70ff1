#include "policy/peft_export.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "policy/safetensors.h"
#include "policy/tensor_io.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

// What a tokenizer or a generation needs beside the weights, as far as the base has it.
constexpr const char* kCopiedFiles[] = {"config.json",           "generation_config.json",  "tokenizer.json",
                                        "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                        "vocab.json",            "merges.txt",              "chat_template.jinja"};

absl::StatusOr<std::vector<std::string>> CopySmallFiles(const std::filesystem::path& from,
                                                        const std::filesystem::path& to) {
  std::vector<std::string> copied;
  for (const char* name : kCopiedFiles) {
    std::error_code error;
    if (!std::filesystem::exists(from / name, error)) continue;
    // The permissions of the base may forbid writing; the copy is the user's own.
    std::filesystem::copy_file(from / name, to / name, error);
    if (!error) {
      std::filesystem::permissions(to / name, std::filesystem::perms::owner_write, std::filesystem::perm_options::add,
                                   error);
    }
    if (error) return absl::UnavailableError(absl::StrCat((to / name).string(), ": ", error.message()));
    copied.emplace_back(name);
  }
  return copied;
}

absl::Status CheckBase(const Safetensors& base, const Lora2r& adapter) {
  for (const AdapterModule& m : adapter.modules()) {
    const std::string name = ModulePath(m.id) + ".weight";
    const TensorView* view = base.Find(name);
    if (view == nullptr) return absl::InvalidArgumentError(absl::StrCat("tensor ", name, ": missing"));
    const std::vector<int64_t> shape = {m.b.size(0), m.a.size(1)};
    if (view->shape != shape || view->dtype == "I64") {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", name, ": ", view->dtype, " [",
                                                     absl::StrJoin(view->shape, ", "), "], the adapter expects [",
                                                     absl::StrJoin(shape, ", "), "] of a floating dtype"));
    }
  }
  return absl::OkStatus();
}

// Hands out the base's arrays with the adapter's added in; holds one at a time.
class MergedArrays {
 public:
  MergedArrays(const Safetensors& base, const Lora2r& adapter, const ExportChoice& choice)
      : base_(base), adapter_(adapter), choice_(choice) {
    for (const AdapterModule& m : adapter.modules()) modules_[ModulePath(m.id) + ".weight"] = &m;
  }

  absl::StatusOr<std::span<const std::byte>> Next(const std::string& name) {
    if (last_ != nullptr) base_.Discard(*last_);
    last_ = base_.Find(name);
    const auto module = modules_.find(name);
    if (module == modules_.end()) return last_->data;
    return TorchGuard("merging", [&] {
      const c10::NoGradGuard no_grad;
      const at::ScalarType dtype = last_->dtype == "F32" ? at::kFloat : last_->dtype == "F16" ? at::kHalf
                                                                                                : at::kBFloat16;
      const at::Tensor sum = ToTensor(*last_).add_(ExportDelta(adapter_, *module->second, choice_));
      merged_ = sum.to(dtype).contiguous();
      return std::span(static_cast<const std::byte*>(merged_.const_data_ptr()), static_cast<size_t>(merged_.nbytes()));
    });
  }

 private:
  const Safetensors& base_;
  const Lora2r& adapter_;
  const ExportChoice& choice_;
  std::map<std::string, const AdapterModule*> modules_;
  const TensorView* last_ = nullptr;
  at::Tensor merged_;
};

}  // namespace

int64_t PeftRank(const Lora2rOptions& options, ExportBlock block) {
  const int64_t blocks = block == ExportBlock::kDeployed ? 1 : 2;
  return blocks * options.rank * (options.random_ab ? 2 : 1);
}

std::map<std::string, at::Tensor> PeftTensors(const Lora2r& adapter, const ExportChoice& choice) {
  const c10::NoGradGuard no_grad;
  const int64_t r = adapter.rank();
  const bool full = choice.block == ExportBlock::kFull;
  std::map<std::string, at::Tensor> tensors;
  for (const AdapterModule& m : adapter.modules()) {
    std::vector<at::Tensor> a, b;
    const auto add_product = [&](const at::Tensor& b_O2r, const at::Tensor& a_2rI) {
      a.push_back(a_2rI.narrow(0, 0, full ? 2 * r : r));
      b.push_back(b_O2r.narrow(1, 0, r));
      if (full) b.push_back(b_O2r.narrow(1, r, r) * choice.w);
    };
    if (adapter.options().random_ab) {
      add_product(m.b, m.a - m.a0);
      add_product(m.b - m.b0, m.a0);
    } else {
      add_product(m.b, m.a);
    }
    const std::string prefix = absl::StrCat("base_model.model.", ModulePath(m.id));
    tensors[prefix + ".lora_A.weight"] = at::cat(a, 0);
    tensors[prefix + ".lora_B.weight"] = at::cat(b, 1);
  }
  return tensors;
}

nlohmann::ordered_json PeftConfig(const Lora2rOptions& options, ExportBlock block, const std::string& base_model) {
  const int64_t rank = PeftRank(options, block);
  const double alpha = static_cast<double>(rank) * options.scale;
  const bool whole = alpha == std::floor(alpha) && std::abs(alpha) < 1e9;
  const nlohmann::ordered_json none = nullptr, empty = nlohmann::ordered_json::object();
  return {{"peft_type", "LORA"},
          {"task_type", "CAUSAL_LM"},
          {"base_model_name_or_path", base_model},
          {"revision", none},
          {"inference_mode", true},
          {"r", rank},
          {"lora_alpha", whole ? nlohmann::ordered_json(static_cast<int64_t>(alpha)) : nlohmann::ordered_json(alpha)},
          {"lora_dropout", 0.0},
          {"target_modules", options.targets},
          {"bias", "none"},
          {"use_rslora", false},
          {"use_dora", false},
          {"fan_in_fan_out", false},
          {"init_lora_weights", true},
          {"modules_to_save", none},
          {"layers_to_transform", none},
          {"layers_pattern", none},
          {"rank_pattern", empty},
          {"alpha_pattern", empty}};
}

at::Tensor ExportDelta(const Lora2r& adapter, const AdapterModule& module, const ExportChoice& choice) {
  return adapter.Delta(module, choice.block == ExportBlock::kFull ? choice.w : 0.0);
}

std::map<std::string, std::string> ExportMetadata(const AdapterProvenance& provenance, const ExportChoice& choice) {
  const bool full = choice.block == ExportBlock::kFull;
  return {{"format", "pt"},
          {"evilmoe_run_id", provenance.run_id},
          {"evilmoe_step", absl::StrCat(provenance.step)},
          {"evilmoe_config_sha256", provenance.config_sha256},
          {"evilmoe_block", full ? "full" : "deployed"},
          {"evilmoe_w", full ? NumberText(choice.w) : "0"}};
}

std::vector<std::string> MergedModelFiles() {
  std::vector<std::string> names(std::begin(kCopiedFiles), std::end(kCopiedFiles));
  names.emplace_back("model.safetensors");
  return names;
}

absl::StatusOr<std::vector<std::string>> WriteMergedModel(const std::filesystem::path& base, const Lora2r& adapter,
                                                          const ExportChoice& choice,
                                                          const AdapterProvenance& provenance,
                                                          const std::filesystem::path& folder) {
  EVILMOE_ASSIGN_OR_RETURN(const Safetensors file, Safetensors::OpenFolder(base));
  EVILMOE_RETURN_IF_ERROR(Annotate(CheckBase(file, adapter), base.string()));
  EVILMOE_ASSIGN_OR_RETURN(std::vector<std::string> files, CopySmallFiles(base, folder));
  MergedArrays arrays(file, adapter, choice);
  EVILMOE_RETURN_IF_ERROR(StreamSafetensorsFile(folder / "model.safetensors", file.tensors(),
                                                ExportMetadata(provenance, choice),
                                                [&](const std::string& name) { return arrays.Next(name); }));
  files.emplace_back("model.safetensors");
  return files;
}

}  // namespace evilmoe
