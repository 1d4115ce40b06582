//: like rows-lanes
//: transform reuse
//: note as rows-lanes; an expensive expression that two loops share is computed once and kept in the output row
