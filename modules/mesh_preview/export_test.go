package meshpreview

// Compare says what a router changes.
var Compare = compare
