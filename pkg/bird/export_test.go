package bird

// The group that BIRD's files get.
var BirdsGroup = birdsGroup
