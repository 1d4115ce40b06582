//: like rows-lanes
//: transform reuse
//: rank 10
//: note as rows-lanes; an expensive expression that two loops share is computed once and kept in the output row
