#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/safetensors.h"

namespace evilmoe {

// The part of an adapter file that every kind of adapter has; torch-free.

// Which training made the bytes.
struct AdapterProvenance {
  std::string run_id;         // empty: not of a run
  int64_t step = 0;           // optimizer steps done
  std::string config_sha256;  // of the run's config.yaml; empty: not of a run

  friend bool operator==(const AdapterProvenance&, const AdapterProvenance&) = default;
};

using AdapterFields = std::map<std::string, std::string>;

// Writes `format`, `version` and the provenance.
void AddAdapterFields(const std::string& format, int version, const AdapterProvenance& provenance,
                      AdapterFields& fields);

// DataLoss in one line: another format, a version newer than `newest`, a field that is no number.
absl::StatusOr<AdapterProvenance> ReadAdapterFields(const AdapterFields& fields, const std::string& format, int newest);

// `format` of an adapter file, by which its kind is told; "" where it has none. DataLoss: no safetensors bytes.
absl::StatusOr<std::string> AdapterFormat(std::string_view bytes);

// The field, or "".
std::string AdapterField(const AdapterFields& fields, const std::string& name);

// Numbers of a field. DataLoss names the field.
absl::StatusOr<int64_t> IntegerField(const AdapterFields& fields, const std::string& name);
absl::StatusOr<uint64_t> SeedField(const AdapterFields& fields, const std::string& name);
absl::StatusOr<double> NumberField(const AdapterFields& fields, const std::string& name);  // finite
// The shortest text that NumberField reads back to the same bits.
std::string NumberText(double value);

// Whether the file has this array as this network wants it, before anything is computed or allocated. DataLoss: it is
// missing or not F32; InvalidArgument: another shape.
absl::Status CheckAdapterArray(const Safetensors& file, const std::string& name, const std::vector<int64_t>& shape);
// InvalidArgument: the file has arrays beyond the `expected` ones that were checked.
absl::Status CheckAdapterArrayCount(const Safetensors& file, size_t expected);

}  // namespace evilmoe
