package policy

// Change is what one kind of principal gains or loses between two documents.
type Change struct {
	// Gained: the new document allows what the old one does not; else the other way round.
	Gained bool `json:"gained"`
	Opening
}

// Diff tells who outside the zone gains and who loses by replacing old with new. A nil document allows
// nothing. Each Change is about a statement of the document that allows: the new one's for gains, the old
// one's for losses; its Witness is allowed by that document and not by the other. What Reach says
// about its precision holds here too: no Changes is a proof that both let the same requests in.
//
// Diff is about what the documents give. What a Deny takes from principals of the owner's account, whose
// own policies give it, is a change only where the document gives it as well. Documents that name one
// principal both by ARN and by id are compared as if these were two.
func Diff(old, new *Document, zone Zone) []Change {
	changes := []Change{}
	for _, side := range [...]struct {
		gained        bool
		allows, other *Document
	}{{true, new, old}, {false, old, new}} {
		if side.allows == nil {
			continue
		}
		for _, o := range newAnalysis(side.allows, side.other, zone).openings() {
			changes = append(changes, Change{Gained: side.gained, Opening: o})
		}
	}
	return changes
}
