/* GStreamer before 1.28 makes RSA certificates for DTLS, which arcly's DTLS does not take. Preloaded, this lets it have one of ECDSA P-256,
   as later versions do by themselves: where it asks OpenSSL for an RSA key, nothing is made, and where it takes that key, another is given. */
#include <dlfcn.h>

enum { PRIME256V1 = 415, KEY_TYPE_RSA = 6, KEY_TYPE_EC = 408 };

static void *crypto(const char *name) { return dlsym(dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_NOLOAD), name); }

int RSA_generate_key_ex(void *rsa, int bits, void *exponent, void *progress) { return 1; }

int EVP_PKEY_assign(void *pkey, int type, void *given) {
  void *(*new_key)(int) = crypto("EC_KEY_new_by_curve_name");
  int (*generate)(void *) = crypto("EC_KEY_generate_key");
  int (*assign)(void *, int, void *) = crypto("EVP_PKEY_assign");
  if (type != KEY_TYPE_RSA) return assign(pkey, type, given);
  void *key = new_key(PRIME256V1);
  return key && generate(key) && assign(pkey, KEY_TYPE_EC, key);
}
