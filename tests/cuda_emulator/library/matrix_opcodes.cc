// mma.sync: products of small matrices whose elements lie across the lanes of a warp (PTX ISA, "Matrix Fragments").
// Products and sums are f32, one after the other: the rounding of tensor cores is not modelled.
#include "machine.h"

namespace cuda_emulator {
namespace {

float of_tf32(uint64_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) & ~0x1fffu); }

void require_whole_warp(Warp& warp, const Instruction& instruction, uint32_t mask) {
  if (mask != ~0u) fail(warp, instruction, -1, 719, "mma.sync by a part of a warp");
}

// D (4) = A (4) x B (2) + C (4): 16 x 8 from 16 x 8 and 8 x 8. Row of a lane: lane / 4, column: lane % 4.
void run_m16n8k8_tf32(Warp& warp, const Instruction& instruction, uint32_t mask) {
  require_whole_warp(warp, instruction, mask);
  float a[16][8], b[8][8];
  const int* operands = instruction.operands;
  for (uint32_t lane = 0; lane < 32; ++lane) {
    uint32_t row = lane / 4, column = lane % 4;
    a[row][column] = of_tf32(warp.lanes(operands[4])[lane]);
    a[row + 8][column] = of_tf32(warp.lanes(operands[5])[lane]);
    a[row][column + 4] = of_tf32(warp.lanes(operands[6])[lane]);
    a[row + 8][column + 4] = of_tf32(warp.lanes(operands[7])[lane]);
    b[column][row] = of_tf32(warp.lanes(operands[8])[lane]);
    b[column + 4][row] = of_tf32(warp.lanes(operands[9])[lane]);
  }
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (uint32_t i = 0; i < 4; ++i) {
      uint32_t row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      float sum = get<float>(warp.lanes(operands[10 + i])[lane]);
      for (uint32_t k = 0; k < 8; ++k) sum += a[row][k] * b[k][column];
      warp.lanes(operands[i])[lane] = put(sum);
    }
  }
}

float of_bf16(uint64_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// D (4) = A (4) x B (2) + C (4): 16 x 8 from 16 x 16 and 16 x 8. A register holds two neighbours along the depth, the
// first in its lower half.
void run_m16n8k16_bf16(Warp& warp, const Instruction& instruction, uint32_t mask) {
  require_whole_warp(warp, instruction, mask);
  float a[16][16], b[16][8];
  const int* operands = instruction.operands;
  for (uint32_t lane = 0; lane < 32; ++lane) {
    uint32_t row = lane / 4, column = lane % 4 * 2;
    for (uint32_t i = 0; i < 4; ++i) {
      const uint64_t pair = warp.lanes(operands[4 + i])[lane];
      a[row + i % 2 * 8][column + i / 2 * 8] = of_bf16(pair & 0xffff);
      a[row + i % 2 * 8][column + i / 2 * 8 + 1] = of_bf16(pair >> 16 & 0xffff);
    }
    for (uint32_t i = 0; i < 2; ++i) {
      const uint64_t pair = warp.lanes(operands[8 + i])[lane];
      b[column + i * 8][row] = of_bf16(pair & 0xffff);
      b[column + i * 8 + 1][row] = of_bf16(pair >> 16 & 0xffff);
    }
  }
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (uint32_t i = 0; i < 4; ++i) {
      uint32_t row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      float sum = get<float>(warp.lanes(operands[10 + i])[lane]);
      for (uint32_t k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      warp.lanes(operands[i])[lane] = put(sum);
    }
  }
}

}  // namespace

void add_matrix_opcodes(OpcodeTable& table) {
  add_opcodes(table, "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", {&run_m16n8k8_tf32, 14});
  add_opcodes(table, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", {&run_m16n8k16_bf16, 14});
}

}  // namespace cuda_emulator
