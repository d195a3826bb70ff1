#include "rollout_workers/run_model.h"

#include "absl/strings/str_cat.h"
#include "common/yaml_reader.h"

namespace evilmoe {

absl::StatusOr<RunModel> ReadRunModel(std::string_view config_yaml) {
  YamlReader reader(config_yaml, "run.yaml");
  RunModel model;
  YamlSection section = reader.Root().Section("model");
  section.Field("path", &model.folder);
  section.Field("dtype", &model.dtype);
  if (!model.folder.is_absolute()) {
    return absl::InvalidArgumentError(absl::StrCat("run.yaml: model.path: '", model.folder.string(),
                                                   "', expected an absolute path in a resolved config"));
  }
  if (model.dtype != "float32" && model.dtype != "bfloat16") {
    return absl::InvalidArgumentError(
        absl::StrCat("run.yaml: model.dtype: '", model.dtype, "', expected float32 or bfloat16"));
  }
  return model;
}

}  // namespace evilmoe
