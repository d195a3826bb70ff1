#include "policy/adapter_metadata.h"

#include <charconv>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "policy/safetensors_header.h"

namespace evilmoe {
namespace {

absl::Status NotANumber(const AdapterFields& fields, const std::string& name) {
  return absl::DataLossError(absl::StrCat(
      "adapter: ", name, " in the metadata: ", QuotedName(AdapterField(fields, name)), ", expected a number"));
}

}  // namespace

void AddAdapterFields(const std::string& format, int version, const AdapterProvenance& provenance,
                      AdapterFields& fields) {
  fields["format"] = format;
  fields["version"] = absl::StrCat(version);
  fields["run_id"] = provenance.run_id;
  fields["step"] = absl::StrCat(provenance.step);
  fields["config_sha256"] = provenance.config_sha256;
}

absl::StatusOr<AdapterProvenance> ReadAdapterFields(const AdapterFields& fields, const std::string& format,
                                                    int newest) {
  if (AdapterField(fields, "format") != format) {
    return absl::DataLossError(absl::StrCat("adapter: format ", QuotedName(AdapterField(fields, "format")),
                                            " in the metadata, expected ", format));
  }
  EVILMOE_ASSIGN_OR_RETURN(const int64_t version, IntegerField(fields, "version"));
  if (version < 1 || version > newest) {
    return absl::DataLossError(absl::StrCat("adapter: version ", version, " of ", format, ", this program reads 1 to ",
                                            newest, ": use a newer one"));
  }
  AdapterProvenance provenance;
  provenance.run_id = AdapterField(fields, "run_id");
  provenance.config_sha256 = AdapterField(fields, "config_sha256");
  EVILMOE_ASSIGN_OR_RETURN(provenance.step, IntegerField(fields, "step"));
  return provenance;
}

absl::StatusOr<std::string> AdapterFormat(std::string_view bytes) {
  const absl::StatusOr<Safetensors> file = Safetensors::Parse(std::string(bytes));
  if (!file.ok()) return absl::DataLossError(absl::StrCat("adapter: ", file.status().message()));
  return AdapterField(file->metadata(), "format");
}

std::string AdapterField(const AdapterFields& fields, const std::string& name) {
  const auto found = fields.find(name);
  return found == fields.end() ? std::string() : found->second;
}

absl::StatusOr<int64_t> IntegerField(const AdapterFields& fields, const std::string& name) {
  int64_t value = 0;
  if (!absl::SimpleAtoi(AdapterField(fields, name), &value)) return NotANumber(fields, name);
  return value;
}

absl::StatusOr<uint64_t> SeedField(const AdapterFields& fields, const std::string& name) {
  uint64_t value = 0;
  if (!absl::SimpleAtoi(AdapterField(fields, name), &value)) return NotANumber(fields, name);
  return value;
}

absl::StatusOr<double> NumberField(const AdapterFields& fields, const std::string& name) {
  double value = 0;
  if (!absl::SimpleAtod(AdapterField(fields, name), &value) || !std::isfinite(value)) return NotANumber(fields, name);
  return value;
}

absl::Status CheckAdapterArray(const Safetensors& file, const std::string& name, const std::vector<int64_t>& shape) {
  const TensorView* view = file.Find(name);
  if (view == nullptr) return absl::DataLossError(absl::StrCat("adapter: ", name, " is missing"));
  if (view->dtype != "F32") {
    return absl::DataLossError(absl::StrCat("adapter: ", name, " has dtype ", view->dtype, ", expected F32"));
  }
  if (view->shape == shape) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("adapter: ", name, " has shape [", absl::StrJoin(view->shape, ", "),
                                                 "], this network expects [", absl::StrJoin(shape, ", "), "]"));
}

absl::Status CheckAdapterArrayCount(const Safetensors& file, size_t expected) {
  if (file.tensors().size() == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("adapter: ", file.tensors().size(), " arrays, this network expects ", expected));
}

std::string NumberText(double value) {
  char buffer[32];
  const std::to_chars_result end = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, end.ptr);
}

}  // namespace evilmoe
