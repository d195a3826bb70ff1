#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace evilmoe {

// A file of this folder, compiled in. Lives as long as the process.
struct WebAsset {
  std::string_view path;  // relative to the folder, like "vendor/uplot/uPlot.min.css"
  std::string_view content;
};

std::span<const WebAsset> WebAssets();
// nullopt: no asset of this path.
std::optional<std::string_view> FindWebAsset(std::string_view path);

}  // namespace evilmoe
