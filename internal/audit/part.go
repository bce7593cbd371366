package audit

// as makes one the event of the i-th part of a request.
func (p *Part) as(one, ev *Event, i int) {
	*one = *ev
	one.keepers, one.Parts, one.KMS = keepers{}, nil, nil
	one.Operation, one.API, one.ReadOnly = p.Operation, "", p.Operation == "GetObject"
	// What a body names may be of any length.
	one.Bucket, one.Key, one.VersionID = clip(p.Bucket, maxText), clip(p.Key, maxText), clip(p.VersionID, maxText)
	one.BytesIn, one.BytesOut, one.ObjectSize = 0, 0, 0
	if p.Status != 0 {
		one.Status, one.ErrorCode, one.ErrorText = p.Status, p.ErrorCode, p.ErrorText
	}
	if one.VersionID != "" && one.Bare {
		one.Members += `,"versionId":` + string(appendQuoted(nil, one.VersionID))
	}
	one.Decisions = p.decisions(ev, i)
}

// decisions are those about the part. Of many parts the i-th mostly has the i-th one.
func (p *Part) decisions(ev *Event, i int) (about []Decision) {
	arn := bucketARN + p.Bucket + "/" + p.Key
	if i < len(ev.Decisions) && ev.Decisions[i].Resource == arn {
		return ev.Decisions[i : i+1 : i+1]
	}
	for j := range ev.Decisions {
		if ev.Decisions[j].Resource == arn {
			about = append(about, ev.Decisions[j])
		}
	}
	return about
}

// parts writes those that are wanted.
func (l *Log) parts(e *encoder, ev *Event, wanted []int) error {
	if len(wanted) == 0 {
		return nil
	}
	var one Event
	for _, i := range wanted {
		ev.Parts[i].as(&one, ev, i)
		if err := l.config.Data.Append(false, e.lines(&one, CategoryData)...); err != nil && l.config.Strict {
			return err
		}
	}
	return nil
}

// wantedParts are the places of the parts that somebody wants.
func (l *Log) wantedParts(ev *Event) (wanted []int) {
	if len(ev.Parts) == 0 {
		return nil
	}
	var one Event
	for i := range ev.Parts {
		if ev.Parts[i].as(&one, ev, i); l.destination(&one) != nil {
			wanted = append(wanted, i)
		}
	}
	return wanted
}
