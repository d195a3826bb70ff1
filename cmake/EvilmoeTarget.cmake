# The verbs of every folder, so that each folder's CMakeLists.txt reads as a list of facts.
#
#   evilmoe_library(NAME lease_table SRCS lease_table.cc HDRS lease_table.h DEPS evilmoe::common)
#     -> target evilmoe_lease_table, alias evilmoe::lease_table
#   evilmoe_binary(NAME evilmoe-grader SRCS main.cc DEPS evilmoe::grader_service)
#     -> build/<preset>/bin/evilmoe-grader
#   evilmoe_test(NAME coordinator_test SRCS a_test.cc b_test.cc DEPS evilmoe::lease_table LABEL unit)
#     -> one gtest binary for a folder, each test case registered with ctest under its one label; with SHARDS n, n
#        processes that share its cases

# Parsing ATen/ATen.h is half of the compile time of a file that sees LibTorch, so targets that see it, themselves or
# through what they link, share it precompiled (docs/adr/0010-precompiled-torch-headers.md).
function(evilmoe_share_torch_headers target)
  foreach(dep ${ARGN})
    set(sees FALSE)
    if(dep STREQUAL "libtorch")
      set(sees TRUE)
    elseif(TARGET ${dep})
      get_target_property(sees ${dep} EVILMOE_SEES_TORCH)
    endif()
    if(sees)
      set_target_properties(${target} PROPERTIES EVILMOE_SEES_TORCH TRUE)
    endif()
  endforeach()
  get_target_property(sees ${target} EVILMOE_SEES_TORCH)
  get_target_property(kind ${target} TYPE)
  if(EVILMOE_PRECOMPILE AND sees AND NOT kind STREQUAL "INTERFACE_LIBRARY")
    target_precompile_headers(${target} REUSE_FROM evilmoe_torch_headers)
  endif()
endfunction()

function(evilmoe_library)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;HDRS;DEPS;PRIVATE_DEPS" ${ARGN})
  set(target evilmoe_${ARG_NAME})
  if(ARG_SRCS)
    add_library(${target} STATIC ${ARG_SRCS} ${ARG_HDRS})
    set(scope PUBLIC)
    target_link_libraries(${target} PRIVATE evilmoe::warnings ${ARG_PRIVATE_DEPS})
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(evilmoe::${ARG_NAME} ALIAS ${target})
  target_include_directories(${target} ${scope} ${PROJECT_SOURCE_DIR})
  target_link_libraries(${target} ${scope} ${ARG_DEPS})
  evilmoe_share_torch_headers(${target} ${ARG_DEPS} ${ARG_PRIVATE_DEPS})
endfunction()

function(evilmoe_binary)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE evilmoe::warnings ${ARG_DEPS})
  evilmoe_share_torch_headers(${ARG_NAME} ${ARG_DEPS})
endfunction()

# LABEL: unit | rpc (starts gRPC; TSan leaves it out) | integration | golden | gpu.
function(evilmoe_test)
  cmake_parse_arguments(ARG "" "NAME;LABEL;TIMEOUT;SHARDS" "SRCS;DEPS;ENVIRONMENT" ${ARGN})
  if(NOT ARG_SRCS)
    set(ARG_SRCS ${ARG_NAME}.cc)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${ARG_NAME} ${ARG_SRCS})
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_include_directories(${ARG_NAME} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${ARG_NAME} PRIVATE EVILMOE_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    EVILMOE_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  target_link_libraries(${ARG_NAME} PRIVATE evilmoe::warnings GTest::gmock_main ${ARG_DEPS})
  # What a test itself does is little; what it tests is in libraries, optimised as people use them.
  target_compile_options(${ARG_NAME} PRIVATE $<$<CONFIG:Release>:-O1>)
  evilmoe_share_torch_headers(${ARG_NAME} ${ARG_DEPS})
  # Whole runs wait for real processes, so they do not share the cores with other tests.
  set(serial FALSE)
  if(ARG_LABEL STREQUAL "integration")
    set(serial TRUE)
  endif()
  # Threads of OpenMP wait for one another by spinning, for a millisecond where nobody says otherwise: two tests at
  # once on two cores then take each other's cores at every barrier, and two seconds have become four minutes.
  list(APPEND ARG_ENVIRONMENT "GOMP_SPINCOUNT=500")
  # A table of a thousand rows that share what is dear to start: a few processes instead of one a row. GTEST_FILTER in the
  # environment chooses among them.
  if(ARG_SHARDS)
    math(EXPR last "${ARG_SHARDS} - 1")
    foreach(shard RANGE ${last})
      add_test(NAME ${ARG_NAME}.shard_${shard} COMMAND ${ARG_NAME} --gtest_brief=1 WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
      set_tests_properties(${ARG_NAME}.shard_${shard} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT ${ARG_TIMEOUT}
        ENVIRONMENT "${ARG_ENVIRONMENT};GTEST_TOTAL_SHARDS=${ARG_SHARDS};GTEST_SHARD_INDEX=${shard}")
    endforeach()
    return()
  endif()
  # Without the values in the names: they hold addresses, which differ from run to run.
  gtest_discover_tests(${ARG_NAME} NO_PRETTY_VALUES DISCOVERY_TIMEOUT 60 WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT ${ARG_TIMEOUT} RUN_SERIAL ${serial} ENVIRONMENT "${ARG_ENVIRONMENT}")
endfunction()
