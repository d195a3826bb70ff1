#include "trainer/export_verb.h"

#include <ostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "policy/mixlora.h"
#include "policy/model_config.h"
#include "policy/safetensors.h"
#include "policy/tensor_io.h"
#include "policy/torch_guard.h"
#include "trainer/export_folder.h"
#include "trainer/export_source.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
constexpr char kPeftConfig[] = "adapter_config.json";
constexpr char kPeftWeights[] = "adapter_model.safetensors";
constexpr char kOwnFile[] = "adapter.safetensors";

// What an export works on.
struct Loaded {
  std::string bytes;
  AdapterMetadata metadata;
  Lora2r adapter;
  fs::path model;
  ExportChoice choice;
};

absl::Status CheckOptions(const ExportOptions& options) {
  if (options.format != "peft" && options.format != "merged" && options.format != "safetensors") {
    return absl::InvalidArgumentError(
        absl::StrCat("--format: ", options.format, ", expected peft, merged or safetensors"));
  }
  if (!options.w) return absl::OkStatus();
  if (!(*options.w >= 0 && *options.w <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("--w: ", *options.w, ", expected [0, 1]"));
  }
  if (options.block == ExportBlock::kDeployed || options.format == "safetensors") {
    return absl::InvalidArgumentError(absl::StrCat(
        "--w: ", *options.w, ", expected only with --block full and --format peft or merged, which fix one"));
  }
  return absl::OkStatus();
}

absl::StatusOr<fs::path> ModelFolder(const ExportOptions& options, const ExportSource& source) {
  std::error_code error;
  const fs::path model = options.model.empty() ? source.model : fs::absolute(options.model, error).lexically_normal();
  if (model.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        source.adapter.string(), ": not in a run's directory, whose config names the base; name it with --model DIR"));
  }
  return model.has_filename() ? model : model.parent_path();
}

absl::StatusOr<Loaded> Load(const ExportOptions& options) {
  EVILMOE_ASSIGN_OR_RETURN(const ExportSource source, FindExportSource(options.source, options.checkpoint));
  EVILMOE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(source.adapter));
  const absl::StatusOr<Safetensors> file = Safetensors::Parse(bytes);
  if (!file.ok()) return absl::DataLossError(absl::StrCat(source.adapter.string(), ": ", file.status().message()));
  if (AdapterField(file->metadata(), "format") == MixLora::kFormat) {
    return absl::InvalidArgumentError(absl::StrCat(
        source.adapter.string(),
        ": per-token experts (arm mixlora), but export knows two-expert adapters alone: experts that each token is "
        "sent "
        "to can be merged into no weights and are no PEFT LoRA; the file itself is all there is of this adapter"));
  }
  absl::StatusOr<AdapterMetadata> metadata = ReadAdapterMetadata(*file);
  if (!metadata.ok()) return Annotate(metadata.status(), source.adapter.string());
  EVILMOE_ASSIGN_OR_RETURN(const fs::path model, ModelFolder(options, source));
  const absl::StatusOr<Qwen3Config> config = ReadQwen3Config(model);
  if (!config.ok()) {
    return absl::Status(config.status().code(),
                        absl::StrCat(config.status().message(), "; --model DIR names the base"));
  }
  absl::StatusOr<Lora2r> adapter = Lora2r::Deserialize(*config, bytes);
  if (!adapter.ok()) return Annotate(adapter.status(), source.adapter.string());
  return Loaded{
      std::move(bytes), *std::move(metadata), *std::move(adapter), model, {options.block, options.w.value_or(1.0)}};
}

absl::StatusOr<std::vector<std::string>> WritePeft(const Loaded& loaded, const fs::path& folder) {
  using Bytes = absl::StatusOr<std::string>;
  absl::StatusOr<Bytes> bytes = TorchGuard("export", [&] {
    return SerializeTensors(PeftTensors(loaded.adapter, loaded.choice),
                            ExportMetadata(loaded.metadata.provenance, loaded.choice));
  });
  EVILMOE_RETURN_IF_ERROR(bytes.status());
  EVILMOE_RETURN_IF_ERROR(bytes->status());
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(folder / kPeftWeights, **bytes));
  const nlohmann::ordered_json config =
      PeftConfig(loaded.adapter.options(), loaded.choice.block, loaded.model.string());
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(folder / kPeftConfig, config.dump(2) + "\n"));
  return std::vector<std::string>{kPeftConfig, kPeftWeights};
}

absl::StatusOr<std::vector<std::string>> WriteOwn(Loaded& loaded, const fs::path& folder) {
  std::string bytes = loaded.bytes;
  if (loaded.choice.block == ExportBlock::kDeployed) {
    loaded.adapter.ResetQuarantine();
    EVILMOE_ASSIGN_OR_RETURN(bytes, loaded.adapter.Serialize(loaded.metadata.provenance));
  }
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(folder / kOwnFile, bytes));
  return std::vector<std::string>{kOwnFile};
}

std::vector<std::string> ReplaceableFiles() {
  std::vector<std::string> names = MergedModelFiles();
  names.insert(names.end(), {kPeftConfig, kPeftWeights, kOwnFile});
  return names;
}

std::string Megabytes(const fs::path& folder) {
  uintmax_t bytes = 0;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) bytes += entry.file_size(ignored);
  return absl::StrFormat("%.1f MB", static_cast<double>(bytes) / 1e6);
}

void PrintOrigin(const Loaded& loaded, std::ostream& out) {
  const AdapterProvenance& from = loaded.metadata.provenance;
  out << "adapter: step " << from.step << (from.run_id.empty() ? "" : absl::StrCat(" of run ", from.run_id)) << ", "
      << loaded.adapter.modules().size() << " modules, rank " << loaded.adapter.rank() << " an expert, "
      << (loaded.adapter.options().random_ab ? "random_ab" : "zero_b") << "; base " << loaded.model.string() << "\n";
}

void PrintSummary(const ExportOptions& options, const Loaded& loaded, const ExportFolder& folder,
                  const std::vector<std::string>& files, std::ostream& out) {
  const bool full = options.block == ExportBlock::kFull;
  out << "wrote " << folder.target().string() << " (" << Megabytes(folder.target())
      << "): " << absl::StrJoin(files, ", ") << "\n";
  PrintOrigin(loaded, out);
  if (options.format == "safetensors") {
    out << (full ? "block full: the adapter's own file, byte for byte\n"
                 : "block deployed: the quarantine expert is left out (reset to its init)\n");
    return;
  }
  if (full) {
    out << "block full: both experts, the quarantine at w = " << NumberText(loaded.choice.w) << "\n";
  } else {
    out << "block deployed: the quarantine expert is left out\n";
  }
  out << "left out: the router (w is fixed)\n";
  if (options.format == "peft") {
    const int64_t rank = PeftRank(loaded.adapter.options(), options.block);
    out << "one LoRA of rank " << rank << ", lora_alpha "
        << NumberText(static_cast<double>(rank) * loaded.adapter.options().scale) << "\n";
  }
  if (loaded.adapter.options().scope_completion) {
    out << "note: trained with scope completion, where w and the quarantine act on completions alone; exported, all of "
           "it acts on every token\n";
  }
}

}  // namespace

absl::Status RunExport(const ExportOptions& options, std::ostream& summary) {
  EVILMOE_RETURN_IF_ERROR(CheckOptions(options));
  EVILMOE_ASSIGN_OR_RETURN(Loaded loaded, Load(options));
  std::error_code ignored;
  if (fs::equivalent(options.out, loaded.model, ignored)) {
    return absl::InvalidArgumentError(absl::StrCat("--out: ", options.out.string(), " is the base model's folder"));
  }
  EVILMOE_ASSIGN_OR_RETURN(ExportFolder folder, ExportFolder::Create(options.out, options.force, ReplaceableFiles()));
  absl::StatusOr<std::vector<std::string>> files;
  if (options.format == "peft") {
    files = WritePeft(loaded, folder.path());
  } else if (options.format == "merged") {
    files = WriteMergedModel(loaded.model, loaded.adapter, loaded.choice, loaded.metadata.provenance, folder.path());
  } else {
    files = WriteOwn(loaded, folder.path());
  }
  EVILMOE_RETURN_IF_ERROR(files.status());
  EVILMOE_RETURN_IF_ERROR(folder.Commit());
  PrintSummary(options, loaded, folder, *files, summary);
  summary.flush();
  return absl::OkStatus();
}

int ExportExitCode(const absl::Status& status) {
  if (status.ok()) return 0;
  if (absl::IsNotFound(status)) return 4;
  const bool bad_input =
      absl::IsInvalidArgument(status) || absl::IsDataLoss(status) || absl::IsFailedPrecondition(status);
  return bad_input ? 2 : 1;
}

}  // namespace evilmoe
