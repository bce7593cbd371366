package audit

// packing are the fields from account to bucket of the data events that alike tells of on the reader's side, as
// they stand in a line, and what such an event is looked up by.
type packing struct {
	of     common
	text   []byte
	tokens []uint64
	// arn is the token of the ARN of an object of the bucket, before the key.
	arn uint64
}

// common is all that packing is made of.
type common struct {
	who                                     identity
	account, operation, api                 string
	ip, tls, cipher, signature, auth        string
	userAgent, host, region, method, bucket string
	readOnly                                bool
}

// packings are those that were written last.
type packings struct {
	all  [4]packing
	next int // that is forgotten next
}

// find gives what there is of an event, or room for it.
func (k *packings) find(ev *Event, account string) (p *packing, known bool) {
	of := common{
		who: identity{ev.Principal, ev.Session, ev.AccessKey, ev.InvokedBy}, account: account, operation: ev.Operation, api: ev.API,
		ip: ev.SourceIP, tls: ev.TLS, cipher: ev.Cipher, signature: ev.SignatureVersion, auth: ev.AuthType,
		userAgent: ev.UserAgent, host: ev.Host, region: ev.Region, method: ev.Method, bucket: ev.Bucket, readOnly: ev.ReadOnly,
	}
	for i := range k.all {
		if p := &k.all[i]; p.text != nil && p.of == of {
			return p, true
		}
	}
	p = &k.all[k.next]
	k.next = (k.next + 1) % len(k.all)
	*p = packing{of: of, text: p.text[:0], tokens: p.tokens[:0]}
	return p, false
}

// pack writes the line of a data event, and notes what it is looked up by.
func (e *encoder) pack(p *packer, ev *Event, account, shared string) {
	p.before(ev)
	defer p.after(ev)
	if shared != "" || ev.Key == "" {
		p.common(ev, account, shared)
		e.note.describe(ev, CategoryData, account)
		e.tokens = e.appendTokens(e.tokens, &e.note)
		return
	}
	c, known := e.packings.find(ev, account)
	if !known {
		e.note.describe(ev, CategoryData, account)
		c.make(ev, &e.note)
	}
	p.b = append(p.b, c.text...)
	key := clip(ev.Key, maxText)
	e.tokens = append(append(e.tokens, c.tokens...), tokenOf(fieldKey, key), mixed(hashOn(c.arn, key)), tokenOf(fieldID, ev.ID))
	if ev.ErrorCode != "" {
		e.tokens = append(e.tokens, tokenOf(fieldError, ev.ErrorCode))
	}
}

// make fills in what find had not.
func (k *packing) make(ev *Event, note *Note) {
	own := packer{k.text}
	own.common(ev, note.Account, "")
	k.text = own.b
	for _, f := range note.fields() {
		switch f.field {
		case fieldKey, fieldARN, fieldResource, fieldError, fieldID, fieldEvent: // of one event: pack adds them
			continue
		}
		if f.value != "" {
			k.tokens = append(k.tokens, tokenOf(f.field, f.value))
		}
	}
	k.arn = hashOn(hashOn(hashOn(hashOf(fieldARN), bucketARN), note.Bucket), "/")
}
