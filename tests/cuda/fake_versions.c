/* fake_versions.c - the libraries of which `hone doctor` only wants the version. */
int cuInit(unsigned flags);
int cuDriverGetVersion(int *v);
unsigned long cudnnGetVersion(void);
int ncclGetVersion(int *v);
int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlSystemGetDriverVersion(char *version, unsigned length);

int cuInit(unsigned flags) { return flags ? 1 : 0; }
int cuDriverGetVersion(int *v) { return *v = 13000, 0; }
unsigned long cudnnGetVersion(void) { return 91900; }
int ncclGetVersion(int *v) { return *v = 22809, 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }

int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    const char text[] = "580.65.06";
    for (unsigned i = 0; i < length && i < sizeof text; i++) version[i] = text[i];
    return 0;
}
