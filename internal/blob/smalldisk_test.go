package blob_test

func runOnSmallDisk() int { return 0 }
