/* signer/key_store.c: open keys by reference, read again when the disk says so. 04 section 4.1. */
#include "signer/key_store.h"

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "signer/safe_file.h"

#include "core/banned.h"

struct entry {
    const char *asked; /* the reference as the peer writes it; NULL: free */
    struct key *key;
    struct ca_facts *facts; /* NULL: not read yet */
    struct file_stamp facts_stamp;
    uint64_t used;
};

struct key_store {
    const struct settings *settings;
    uint64_t clock;
    struct entry entries[KEY_STORE_MAX];
};

static int close_all(struct key_store *store)
{
    for (size_t i = 0; i < KEY_STORE_MAX; i++)
        TALLOC_FREE(store->entries[i].key);
    key_drivers_close();
    return 0;
}

struct key_store *key_store_new(TALLOC_CTX *ctx, const struct settings *settings)
{
    struct key_store *store = mem_new(ctx, struct key_store);

    store->settings = settings;
    talloc_set_destructor(store, close_all);
    return store;
}

size_t key_store_count(const struct key_store *store)
{
    size_t count = 0;

    for (size_t i = 0; i < KEY_STORE_MAX; i++)
        count += store->entries[i].asked != NULL;
    return count;
}

static void close_entry(struct entry *entry)
{
    talloc_free(entry->key); /* and all that hangs on it */
    *entry = (struct entry){0};
}

static struct entry *entry_for(struct key_store *store, const char *reference)
{
    for (size_t i = 0; i < KEY_STORE_MAX; i++)
        if (text_equal(store->entries[i].asked, reference))
            return &store->entries[i];
    return NULL;
}

static struct entry *free_entry(struct key_store *store)
{
    struct entry *oldest = &store->entries[0];

    for (size_t i = 0; i < KEY_STORE_MAX; i++) {
        if (!store->entries[i].asked)
            return &store->entries[i];
        if (store->entries[i].used < oldest->used)
            oldest = &store->entries[i];
    }
    close_entry(oldest);
    return oldest;
}

static struct entry *open_entry(struct key_store *store, const char *reference, struct fault *fault)
{
    const struct key_driver *driver = key_driver_for(reference, fault);
    struct entry *entry = free_entry(store);
    struct key *key = driver ? driver->load(store, store->settings, reference, fault) : NULL;

    if (!key)
        return NULL;
    *entry = (struct entry){.asked = mem_text(key, reference), .key = key};
    return entry;
}

struct key *key_store_find(struct key_store *store, const char *reference, struct fault *fault)
{
    struct entry *entry = entry_for(store, reference);

    if (entry && !entry->key->driver->is_current(entry->key)) {
        close_entry(entry);
        entry = NULL;
    }
    if (!entry)
        entry = open_entry(store, reference, fault);
    if (!entry)
        return NULL;
    entry->used = ++store->clock;
    return entry->key;
}

static bool read_facts(struct key_store *store, struct entry *entry, const char *path,
                       struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint8_t *text = mem_array(scratch, uint8_t, FACTS_FILE_MAX);
    size_t size;

    TALLOC_FREE(entry->facts);
    if (!safe_file_read("facts file", path, &entry->facts_stamp, text, FACTS_FILE_MAX, &size,
                        fault))
        return false;
    entry->facts = ca_facts_from_json(entry->key, (struct bytes){text, size}, entry->key,
                                      store->settings->signer_max_leaf_days, fault);
    /* What lies on our own disk is never the peer's mistake. */
    if (!entry->facts)
        fault->reason = SIGNER_KEY;
    return entry->facts;
}

static struct entry *entry_of(struct key_store *store, const struct key *key)
{
    for (size_t i = 0; i < KEY_STORE_MAX; i++)
        if (store->entries[i].key == key)
            return &store->entries[i];
    return NULL;
}

const struct ca_facts *key_store_facts(struct key_store *store, const struct key *key,
                                       struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct entry *entry = entry_of(store, key);
    const char *path = mem_printf(scratch, "%s" FACTS_ENDING, key->beside);
    struct file_stamp now;

    if (!entry || !file_stamp_of(path, &now))
        return fault_set(fault, SIGNER_REFUSED, "key_ref",
                         "the key has no facts: it signs nothing but its own certificate");
    if (entry->facts && file_stamp_equal(&entry->facts_stamp, &now))
        return entry->facts;
    return read_facts(store, entry, path, fault) ? entry->facts : NULL;
}
