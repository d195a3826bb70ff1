# Target `libtorch` out of a torch wheel's folder or a LibTorch folder.
#
# Not TorchConfig.cmake: it adds the wheel's whole include folder, whose protobuf 3.13 headers shadow the
# system's, and RUNPATH entries that do not exist. A folder of links shows only what belongs to torch.

set(_torch_root "${EVILMOE_TORCH}")
if(NOT _torch_root)
  set(_torch_root "${PROJECT_SOURCE_DIR}/third_party/torch")
endif()
if(NOT EXISTS "${_torch_root}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch: no lib/libtorch_cpu.so in ${_torch_root}. Run scripts/bootstrap, or set EVILMOE_TORCH "
    "to a folder with include/ and lib/, or configure with -DEVILMOE_WITH_TORCH=OFF.")
endif()

set(_links "${PROJECT_BINARY_DIR}/torch_include")
file(MAKE_DIRECTORY "${_links}")
foreach(_dir ATen c10 torch caffe2 fmt)  # never google/, kineto/, pybind11/
  file(CREATE_LINK "${_torch_root}/include/${_dir}" "${_links}/${_dir}" SYMBOLIC)
endforeach()

set(_torch_libs torch_cpu c10)
if(EVILMOE_CUDA)
  list(APPEND _torch_libs torch_cuda c10_cuda)
endif()
foreach(_lib ${_torch_libs})
  add_library(lt_${_lib} SHARED IMPORTED)
  set_target_properties(lt_${_lib} PROPERTIES IMPORTED_LOCATION "${_torch_root}/lib/lib${_lib}.so")
  list(APPEND _torch_targets lt_${_lib})
endforeach()

add_library(libtorch INTERFACE)
target_include_directories(libtorch SYSTEM INTERFACE "${_links}" "${_links}/torch/csrc/api/include")
# Operators register themselves in static initialisers, so the linker must keep libraries it sees no use of.
target_link_libraries(libtorch INTERFACE "-Wl,--no-as-needed" ${_torch_targets} "-Wl,--as-needed")
target_compile_definitions(libtorch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO)

if(EVILMOE_CUDA)
  set(_nvidia "${_torch_root}/../nvidia")
  find_path(EVILMOE_CUDA_ROOT bin/nvcc HINTS ENV CUDA_HOME /usr/local/cuda REQUIRED)
  target_include_directories(libtorch SYSTEM INTERFACE "${EVILMOE_CUDA_ROOT}/include" "${_nvidia}/cu13/include"
    "${_nvidia}/nccl/include")
  target_compile_definitions(libtorch INTERFACE USE_C10D_NCCL EVILMOE_CUDA)
  file(GLOB _cudart "${_nvidia}/cu13/lib/libcudart.so.*")
  target_link_libraries(libtorch INTERFACE ${_cudart})
  target_link_options(libtorch INTERFACE -Wl,--allow-shlib-undefined)
endif()

# What evilmoe_share_torch_headers gives to other targets.
if(EVILMOE_PRECOMPILE)
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/torch_headers.cc" CONTENT "")  # writes where it differs
  add_library(evilmoe_torch_headers OBJECT "${PROJECT_BINARY_DIR}/torch_headers.cc")
  target_link_libraries(evilmoe_torch_headers PRIVATE evilmoe::warnings libtorch)
  target_precompile_headers(evilmoe_torch_headers PRIVATE <ATen/ATen.h> <torch/csrc/autograd/custom_function.h>)
endif()
