#include <iostream>

#include <placewright/ir/graph.h>

int main() {
  std::cout << placewright::Type(placewright::DType::f32, {2, 3}).to_string() << "\n";
}
