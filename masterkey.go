package kinora

// MasterKeys tells which master keys an installation has and what still depends on each. A key is named by its id, which
// says nothing about it.
type MasterKeys struct {
	Current string          `json:"current"` // what the answering process seals with
	File    bool            `json:"file"`    // kept in master.key; false = in the configuration
	Keys    []MasterKeyUse  `json:"keys"`    // the current one first
	Nodes   []MasterKeyNode `json:"nodes"`   // servers on a shared database; empty on SQLite
}

// MasterKeyUse is one key.
type MasterKeyUse struct {
	ID     string `json:"id"`
	Known  bool   `json:"known"`  // false: secrets are sealed with it, and the answering process does not have it
	Sealed int    `json:"sealed"` // secrets that only this key opens
}

// MasterKeyNode is a server and the keys that it has, the one it seals with first.
type MasterKeyNode struct {
	ID   string   `json:"id"`
	Keys []string `json:"keys"`
}

// MasterKeyChange says what a rotation, or forgetting older keys, has done.
type MasterKeyChange struct {
	Current   string   `json:"current"`
	Made      bool     `json:"made"`      // a new key was made by this very call
	Resealed  int      `json:"resealed"`  // secrets sealed anew with the current key
	Older     []string `json:"older"`     // still accepted
	Forgotten []string `json:"forgotten"` // no longer accepted
}
